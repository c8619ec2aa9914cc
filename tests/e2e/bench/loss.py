# SPDX-License-Identifier: EUPL-1.2
"""Both ends of the measurement of quality under loss, on the published Python SDK (libwebrtc).

`publish URL TOKEN` sends a moving picture in three sizes and a tone while its standard input says `on`, and nothing
while it says `off`. `receive URL TOKEN SECONDS` joins when its standard input says `go`, and prints what its own
statistics say, a line of JSON four times a second; the first tells how long joining took.
"""

import asyncio
import json
import sys
import time

import numpy
from livekit import rtc

WIDTH, HEIGHT, FPS = 1280, 720, 30
RATE, HERTZ = 48000, 440
# Two seconds of picture, drawn once: drawing must not cost what encoding needs.
FRAMES = 60
SAMPLE_EVERY = 0.25
FIRST_FRAME_WITHIN = 20


def tell(**what):
    print(json.dumps(what), flush=True)


def pictures():
    """I420 frames of a texture that moves under bars that move the other way: something to encode in every block."""
    random = numpy.random.default_rng(7)
    y, x = numpy.mgrid[0:HEIGHT, 0 : WIDTH * 2].astype(numpy.float32)
    texture = 110 + 40 * numpy.sin(x / 23 + numpy.sin(y / 31) * 2) + 30 * numpy.sin(y / 17)
    # Grain of four pixels, so that it survives scaling down.
    grain = random.normal(0, 10, (HEIGHT // 4, WIDTH // 2)).repeat(4, 0).repeat(4, 1)
    texture = (texture + grain).clip(16, 235).astype(numpy.uint8)
    colour = (128 + 50 * numpy.sin(x[::2, ::2] / 90)).astype(numpy.uint8)
    for number in range(FRAMES):
        # There and back, so that the end meets the beginning.
        shift = 2 * int(WIDTH / 8 * (1 - numpy.cos(2 * numpy.pi * number / FRAMES)))
        luma = texture[:, shift : shift + WIDTH].copy()
        bar = (number * WIDTH // FRAMES) & ~1
        luma[HEIGHT // 3 : HEIGHT // 3 * 2, bar : bar + 60] = 235
        chroma = colour[:, shift // 2 : shift // 2 + WIDTH // 2]
        yield luma.tobytes() + chroma.tobytes() + chroma[::-1].tobytes()


async def lines():
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().strip()


async def publish(url, token):
    frames = list(pictures())
    room = rtc.Room()
    await room.connect(url, token, rtc.RoomOptions(dynacast=True))
    picture = rtc.VideoSource(WIDTH, HEIGHT)
    tone = rtc.AudioSource(RATE, 1)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA, simulcast=True, video_codec=rtc.VideoCodec.VP8)
    video = rtc.LocalVideoTrack.create_video_track("picture", picture)
    await room.local_participant.publish_track(video, options)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    await room.local_participant.publish_track(rtc.LocalAudioTrack.create_audio_track("tone", tone), options)
    on = asyncio.Event()
    shown = 0

    async def draw():
        nonlocal shown
        next_at = time.monotonic()
        while True:
            if not on.is_set():
                await on.wait()
                next_at = time.monotonic()
            data = frames[shown % FRAMES]
            picture.capture_frame(rtc.VideoFrame(WIDTH, HEIGHT, rtc.VideoBufferType.I420, data))
            shown += 1
            next_at += 1 / FPS
            await asyncio.sleep(max(0, next_at - time.monotonic()))

    async def play():
        per_frame, count = RATE // 100, 0
        while True:
            await on.wait()
            times = (numpy.arange(per_frame) + count * per_frame) / RATE
            samples = (numpy.sin(2 * numpy.pi * HERTZ * times) * 16000).astype(numpy.int16)
            count += 1
            await tone.capture_frame(rtc.AudioFrame(samples.tobytes(), RATE, 1, per_frame))

    tasks = [asyncio.create_task(draw()), asyncio.create_task(play())]
    tell(ready=True)
    since = {}
    async for line in lines():
        if line == "on":
            since = {"time": time.monotonic(), "shown": shown, "sent": await sent(video)}
            on.set()
            tell(on=True)
        else:
            on.clear()
            seconds = time.monotonic() - since.get("time", 0)
            before, now = since.get("sent", {}), await sent(video)
            layers = {rid: (now[rid] - before.get(rid, 0)) / seconds for rid in now}
            tell(on=False, drawn_fps=(shown - since.get("shown", 0)) / seconds, encoded_fps=layers)
    for task in tasks:
        task.cancel()
    await room.disconnect()


async def sent(track):
    """Frames encoded so far, by layer."""
    layers = {}
    for each in await track.get_stats():
        if each.HasField("outbound_rtp"):
            layers[each.outbound_rtp.outbound.rid] = each.outbound_rtp.outbound.frames_encoded
    return layers


async def inbound(track):
    for each in await track.get_stats():
        if each.HasField("inbound_rtp"):
            return each.inbound_rtp
    return None


class Receiver:
    def __init__(self):
        self.room = rtc.Room()
        self.tracks = {}
        self.frames = 0
        self.first = None
        self.tasks = []
        self.paused = None
        self.room.on("track_subscribed", self.subscribed)
        self.room.on("track_unsubscribed", lambda track, *_: self.tracks.pop(track.kind, None))
        for name in ("reconnecting", "reconnected", "disconnected"):
            self.room.on(name, lambda *_, name=name: tell(event=name))

    def subscribed(self, track, publication, participant):
        self.tracks[track.kind] = track
        watch = self.see if track.kind == rtc.TrackKind.KIND_VIDEO else self.hear
        self.tasks.append(asyncio.create_task(watch(track)))

    async def see(self, track):
        async for _ in rtc.VideoStream(track):
            self.frames += 1
            if self.first is None:
                self.first = time.monotonic()

    async def hear(self, track):
        # Who doesn't listen has no samples concealed.
        async for _ in rtc.AudioStream(track, sample_rate=RATE, num_channels=1):
            pass

    async def sample(self, at):
        seen = {"at": round(at, 3), "shown": self.frames}
        for kind, name in ((rtc.TrackKind.KIND_VIDEO, "video"), (rtc.TrackKind.KIND_AUDIO, "audio")):
            track = self.tracks.get(kind)
            stats = await inbound(track) if track else None
            if stats is None:
                continue
            more, received = stats.inbound, stats.received
            seen[name] = {"packets": received.packets_received, "lost": received.packets_lost, "bytes": more.bytes_received,
                          "nacks": more.nack_count, "retransmitted": more.retransmitted_packets_received,
                          "buffer_s": more.jitter_buffer_delay, "buffered": more.jitter_buffer_emitted_count}
            if name == "video":
                seen[name] |= {"decoded": more.frames_decoded, "keys": more.key_frames_decoded, "height": more.frame_height,
                               "plis": more.pli_count, "freezes": more.freeze_count, "frozen_s": more.total_freeze_duration,
                               "dropped": more.frames_dropped}
            else:
                seen[name] |= {"samples": more.total_samples_received, "concealed": more.concealed_samples,
                               "silent": more.silent_concealed_samples, "fec": more.fec_packets_received}
        tell(**seen)


async def receive(url, token, seconds):
    receiver = Receiver()
    tell(ready=True)
    await anext(lines())
    begin = time.monotonic()
    # A join under loss may take its time; how long it took is a result.
    await receiver.room.connect(url, token, rtc.RoomOptions(connect_timeout=FIRST_FRAME_WITHIN))
    connected = time.monotonic()
    while receiver.first is None and time.monotonic() - begin < FIRST_FRAME_WITHIN:
        await asyncio.sleep(0.01)
    first = receiver.first or time.monotonic()
    tell(connected_ms=(connected - begin) * 1000, picture_ms=(first - begin) * 1000 if receiver.first else None)
    count = 0
    while count * SAMPLE_EVERY <= seconds:
        await receiver.sample(time.monotonic() - first)
        count += 1
        await asyncio.sleep(max(0, first + count * SAMPLE_EVERY - time.monotonic()))
    for task in receiver.tasks:
        task.cancel()
    tell(end=True)
    # The goodbye may get lost, and nobody waits for it.
    await asyncio.wait([asyncio.create_task(receiver.room.disconnect())], timeout=2)


async def main(role, url, token, *rest):
    if role == "publish":
        await publish(url, token)
    else:
        await receive(url, token, float(rest[0]))


asyncio.run(main(*sys.argv[1:]))
