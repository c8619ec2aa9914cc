# SPDX-License-Identifier: EUPL-1.2
"""A worker on the published agents SDK: its agent joins, plays a tone, and says back what it is told."""

import asyncio
import math
import os
import sys

import numpy
from livekit import rtc
from livekit.agents import JobContext, JobExecutorType, JobRequest, WorkerOptions, WorkerType, cli

RATE = 48000
HERTZ = float(os.environ.get("WORKER_HERTZ", "660"))


async def play(source):
    per_frame, count = RATE // 100, 0
    while True:
        times = (numpy.arange(per_frame) + count * per_frame) / RATE
        samples = (numpy.sin(2 * math.pi * HERTZ * times) * 16000).astype(numpy.int16)
        count += 1
        await source.capture_frame(rtc.AudioFrame(samples.tobytes(), RATE, 1, per_frame))


async def entrypoint(context: JobContext):
    said = asyncio.Queue()
    context.room.on("data_received", lambda packet: said.put_nowait(packet.data))
    await context.connect()
    source = rtc.AudioSource(RATE, 1)
    track = rtc.LocalAudioTrack.create_audio_track("tone", source)
    await context.room.local_participant.publish_track(
        track, rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    )
    playing = asyncio.create_task(play(source))
    subject = context.job.participant.identity if context.job.HasField("participant") else ""
    await context.room.local_participant.set_attributes({"job": context.job.metadata, "subject": subject})
    try:
        while True:
            await context.room.local_participant.publish_data(b"heard " + await said.get())
    finally:
        playing.cancel()


async def accept(request: JobRequest):
    if os.environ.get("WORKER_DECLINES"):
        # By default it would say that nobody else is to have the job either.
        await request.reject(terminate=False)
    else:
        await request.accept(name="Agent", identity=os.environ.get("WORKER_IDENTITY", f"agent-{request.id}"))


if __name__ == "__main__":
    types = {"room": WorkerType.ROOM, "publisher": WorkerType.PUBLISHER}
    sys.argv = [sys.argv[0], "start"]
    cli.run_app(
        WorkerOptions(
            entrypoint_fnc=entrypoint,
            request_fnc=accept,
            agent_name=os.environ.get("WORKER_NAME", ""),
            worker_type=types[os.environ.get("WORKER_TYPE", "room")],
            # The machine's own load says nothing about this worker.
            load_fnc=lambda *_: float(os.environ.get("WORKER_LOAD", "0.1")),
            job_executor_type=JobExecutorType.THREAD,
            num_idle_processes=1,
            port=0,
        )
    )
