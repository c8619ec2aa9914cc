# SPDX-License-Identifier: EUPL-1.2
"""The receiver of the measurement of quality under loss, on the published Python SDK (libwebrtc).

`loss.py URL TOKEN SECONDS` joins when its standard input says `go`, stays for so long after its first picture, and
prints what its own statistics say, a line of JSON four times a second; the first tells how long joining took.
"""

import asyncio
import collections
import json
import sys
import time

from livekit import rtc

RATE = 48000
SAMPLE_EVERY = 0.25
FIRST_FRAME_WITHIN = 20


def tell(**what):
    print(json.dumps(what), flush=True)


async def lines():
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().strip()


async def inbound(track):
    for each in await track.get_stats():
        if each.HasField("inbound_rtp"):
            return each.inbound_rtp
    return None


class Freezes:
    """Freezes as the statistics of W3C define them (freezeCount, totalFreezesDuration): a frame that comes later than
    three times the mean of the last thirty intervals, and than that mean and 150 ms. The SDK doesn't pass on how long
    they were, so they are measured where the frames arrive."""

    def __init__(self):
        self.last = None
        self.intervals = collections.deque(maxlen=30)
        self.count, self.seconds = 0, 0.0

    def shown(self, now):
        if self.last is not None:
            interval = now - self.last
            mean = sum(self.intervals) / len(self.intervals) if self.intervals else 0.1
            if interval >= max(3 * mean, mean + 0.15):
                self.count += 1
                self.seconds += interval
            self.intervals.append(interval)
        self.last = now


class Receiver:
    def __init__(self):
        self.room = rtc.Room()
        self.tracks = {}
        self.frames = 0
        self.freezes = Freezes()
        self.first = None
        self.tasks = []
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
            now = time.monotonic()
            self.frames += 1
            self.freezes.shown(now)
            if self.first is None:
                self.first = now

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
                               "plis": more.pli_count, "freezes": self.freezes.count, "frozen_s": self.freezes.seconds,
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


asyncio.run(receive(sys.argv[1], sys.argv[2], float(sys.argv[3])))
