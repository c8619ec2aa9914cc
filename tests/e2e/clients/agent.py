# SPDX-License-Identifier: EUPL-1.2
"""A worker on the published agents SDK whose agents do what tests ask of them: each connects to the test, reads requests as
lines of JSON, and answers likewise."""

import asyncio
import json
import os
import sys

from livekit import rtc
from livekit.agents import JobContext, JobExecutorType, JobRequest, WorkerOptions, cli

from client import Caller, serve


async def entrypoint(context: JobContext):
    asked = json.loads(context.job.metadata)
    caller = Caller(context.room)
    encryption = None
    if asked.get("passphrase"):
        keys = rtc.KeyProviderOptions(shared_key=asked["passphrase"].encode())
        encryption = rtc.E2EEOptions(key_provider_options=keys)
    await context.connect(encryption=encryption)
    await caller.offerMethods()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(os.environ["CALLER_PORT"]), limit=1 << 20)
    write = lambda line: writer.write(f"{line}\n".encode())
    write(json.dumps({"caller": asked["caller"], "sid": context.room.local_participant.sid}))
    await serve(caller, reader, write)


async def accept(request: JobRequest):
    asked = json.loads(request.job.metadata)
    await request.accept(name=asked["identity"], identity=asked["identity"])


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "start"]
    cli.run_app(
        WorkerOptions(
            entrypoint_fnc=entrypoint,
            request_fnc=accept,
            agent_name="caller",
            # The machine's own load says nothing about this worker.
            load_fnc=lambda *_: 0.1,
            job_executor_type=JobExecutorType.THREAD,
            num_idle_processes=1,
            port=0,
        )
    )
