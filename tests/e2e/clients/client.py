# SPDX-License-Identifier: EUPL-1.2
"""A caller on the published Python SDK: reads requests as lines of JSON, answers likewise."""

import asyncio
import json
import sys
import time

import numpy
from livekit import rtc

from share import Sharing

BARS = [(192, 192, 192), (192, 192, 0), (0, 192, 192), (0, 192, 0), (192, 0, 192), (192, 0, 0), (0, 0, 192)]
RATE = 48000


class Caller(Sharing):
    def __init__(self, room=None):
        self.room = room or rtc.Room()
        self.data = []
        self.events = []
        self.tasks = []
        self.tracks = {}
        self.room.on("track_subscribed", self.subscribed)
        self.room.on("data_received", lambda packet: self.data.append(packet))
        for name in ("reconnecting", "reconnected", "disconnected", "participant_connected", "participant_disconnected", "track_muted"):
            self.room.on(name, lambda *_, name=name: self.events.append(name))
        self.share()

    def subscribed(self, track, publication, participant):
        self.tracks[(participant.identity, track.kind)] = track

    async def until(self, what, look, milliseconds=20000):
        end = time.monotonic() + milliseconds / 1000
        while True:
            found = look()
            if found:
                return found
            if time.monotonic() > end:
                raise TimeoutError(f"waited {milliseconds} ms for {what}; {self.events[-8:]}")
            await asyncio.sleep(0.05)

    async def connect(self, url, token, single=None, passphrase=None):
        start = time.monotonic()
        options = rtc.RoomOptions()
        if passphrase is not None:
            keys = rtc.KeyProviderOptions(shared_key=passphrase.encode())
            options.encryption = rtc.E2EEOptions(key_provider_options=keys)
        if single is not None and hasattr(options, "single_peer_connection"):
            options.single_peer_connection = single
        await self.room.connect(url, token, options)
        await self.offerMethods()
        return {"milliseconds": (time.monotonic() - start) * 1000, "sid": self.room.local_participant.sid}

    async def publishBars(self, width=640, height=360, fps=15, codec="vp8", simulcast=False, scalabilityMode=None):
        source = rtc.VideoSource(width, height)
        track = rtc.LocalVideoTrack.create_video_track("bars", source)
        codecs = {"vp8": rtc.VideoCodec.VP8, "vp9": rtc.VideoCodec.VP9, "av1": rtc.VideoCodec.AV1, "h264": rtc.VideoCodec.H264}
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA, simulcast=simulcast, video_codec=codecs[codec])
        if scalabilityMode:
            options.scalability_mode = scalabilityMode
        publication = await self.room.local_participant.publish_track(track, options)

        async def draw():
            picture = numpy.zeros((height, width, 4), dtype=numpy.uint8)
            for bar, colour in enumerate(BARS):
                picture[:, bar * width // 7 : (bar + 1) * width // 7, :3] = colour
            picture[:, :, 3] = 255
            count = 0
            while True:
                frame = picture.copy()
                left = count * 8 % max(1, width - 24)
                frame[height - 12 :, left : left + 24, :3] = 255
                count += 1
                source.capture_frame(rtc.VideoFrame(width, height, rtc.VideoBufferType.RGBA, frame.tobytes()))
                await asyncio.sleep(1 / fps)

        self.tasks.append(asyncio.create_task(draw()))
        return publication.sid

    async def publishTone(self, hertz=440):
        source = rtc.AudioSource(RATE, 1)
        track = rtc.LocalAudioTrack.create_audio_track("tone", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        publication = await self.room.local_participant.publish_track(track, options)

        async def play():
            per_frame, count = RATE // 100, 0
            while True:
                times = (numpy.arange(per_frame) + count * per_frame) / RATE
                samples = (numpy.sin(2 * numpy.pi * hertz * times) * 16000).astype(numpy.int16)
                count += 1
                await source.capture_frame(rtc.AudioFrame(samples.tobytes(), RATE, 1, per_frame))

        self.tasks.append(asyncio.create_task(play()))
        return publication.sid

    async def seen(self, identity, atLeast=2, milliseconds=20000):
        kind = rtc.TrackKind.KIND_VIDEO
        track = await self.until(f"a video track of {identity}", lambda: self.tracks.get((identity, kind)), milliseconds)
        stream = rtc.VideoStream(track, format=rtc.VideoBufferType.RGB24)

        async def look():
            count = 0
            async for event in stream:
                count += 1
                if count >= atLeast:
                    return event.frame

        try:
            frame = await asyncio.wait_for(look(), milliseconds / 1000)
        finally:
            await stream.aclose()
        width, height = frame.width, frame.height
        picture = numpy.frombuffer(frame.data, dtype=numpy.uint8)[: width * height * 3].reshape(height, width, 3)
        bars = []
        for bar in range(7):
            left, right = int((bar + 0.3) * width / 7), int((bar + 0.7) * width / 7)
            part = picture[int(height * 0.3) : int(height * 0.7), left:right]
            bars.append([int(round(value)) for value in part.reshape(-1, 3).mean(axis=0)])
        return {"bars": bars, "width": width, "height": height, "frames": atLeast}

    async def heard(self, identity, milliseconds=20000):
        kind = rtc.TrackKind.KIND_AUDIO
        track = await self.until(f"an audio track of {identity}", lambda: self.tracks.get((identity, kind)), milliseconds)
        stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1)
        window = 8192

        async def listen():
            held = numpy.zeros(0, dtype=numpy.int16)
            async for event in stream:
                held = numpy.concatenate([held, numpy.frombuffer(event.frame.data, dtype=numpy.int16)])
                if len(held) >= window:
                    spectrum = numpy.abs(numpy.fft.rfft(held[:window] / 32768 * numpy.blackman(window))) / window
                    best = int(spectrum[1:].argmax()) + 1
                    decibel = 20 * float(numpy.log10(spectrum[best] + 1e-12))
                    if decibel > -38:
                        return {"hertz": best * RATE / window, "decibel": decibel}
                    held = held[window:]

        try:
            return await asyncio.wait_for(listen(), milliseconds / 1000)
        finally:
            await stream.aclose()

    async def say(self, text, reliable=True):
        await self.room.local_participant.publish_data(text, reliable=reliable)

    async def untilData(self, **wanted):
        def look():
            for packet in self.data:
                if packet.participant and packet.participant.identity == wanted["from"]:
                    if packet.data.decode() == wanted["text"]:
                        return True

        return await self.until(f"data {wanted}", look)

    async def textsOf(self, identity):
        return [packet.data.decode() for packet in self.data if packet.participant and packet.participant.identity == identity]

    async def untilNotice(self, text, topic=None):
        def look():
            return [packet for packet in self.data if packet.participant is None and packet.data.decode() == text]

        packets = await self.until(f"the notice {text}", look)
        return {"count": len(packets), "topic": packets[0].topic}

    async def setQuality(self, identity, quality):
        for publication in self.room.remote_participants[identity].track_publications.values():
            if publication.kind == rtc.TrackKind.KIND_VIDEO:
                publication.set_video_quality([rtc.VideoQuality.VIDEO_QUALITY_LOW, rtc.VideoQuality.VIDEO_QUALITY_MEDIUM, rtc.VideoQuality.VIDEO_QUALITY_HIGH][quality])

    async def setAttributes(self, **attributes):
        await self.room.local_participant.set_attributes(attributes)

    async def state(self):
        participants = [
            {"identity": each.identity, "sid": each.sid, "attributes": each.attributes, "name": each.name, "metadata": each.metadata, "kind": each.kind,
             "tracks": [{"sid": track.sid, "muted": track.muted, "mime": track.mime_type} for track in each.track_publications.values()]}
            for each in self.room.remote_participants.values()
        ]
        metadata = self.room.metadata
        return {"connected": self.room.isconnected(), "metadata": metadata, "participants": participants}

    async def log(self):
        return self.events

    async def leave(self):
        for task in self.tasks:
            task.cancel()
        await self.room.disconnect()


async def serve(caller, reader, write):
    """Answers requests, each a line of JSON, until there are no more."""

    async def answer(request):
        reply = {"id": request["id"]}
        try:
            reply["ok"] = await getattr(caller, request["name"])(**request["parameters"])
        except Exception as error:  # the test decides what an error means
            reply["error"] = f"{request['name']}: {type(error).__name__}: {error}"
        write(json.dumps(reply))

    pending = set()
    while line := await reader.readline():
        task = asyncio.create_task(answer(json.loads(line)))
        pending.add(task)
        task.add_done_callback(pending.discard)


async def main():
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await serve(Caller(), reader, lambda line: print(line, flush=True))


if __name__ == "__main__":
    asyncio.run(main())
