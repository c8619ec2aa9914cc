# SPDX-License-Identifier: EUPL-1.2
"""What the Python caller does besides pictures and sound: streams, calls of methods, data tracks."""

import asyncio
import base64
import hashlib

import numpy
from livekit import rtc


def noise(length):
    """The bytes that every kind of caller makes for itself, and that no two places of a stream share."""
    words = numpy.arange((length + 3) // 4, dtype=numpy.uint32)
    words = (words ^ (words >> 16)) * numpy.uint32(0x7FEB352D)
    words = (words ^ (words >> 15)) * numpy.uint32(0x846CA68B)
    return (words ^ (words >> 16)).tobytes()[:length]


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Sharing:
    """A part of the caller, which has `room`, `events`, `tasks` and `until`."""

    def share(self):
        self.streams = []
        self.frames = []
        self.remote_data_tracks = {}
        self.data_tracks = {}
        self.transcriptions = []
        self.room.register_byte_stream_handler("bytes", lambda reader, identity: self.keep(self.read_bytes(reader, identity)))
        self.room.register_text_stream_handler("text", lambda reader, identity: self.keep(self.read_text(reader, identity)))
        self.room.on("data_track_published", lambda track: self.remote_data_tracks.__setitem__((track.publisher_identity, track.info.name), track))
        self.room.on("data_track_unpublished", lambda sid: self.events.append("data_track_unpublished"))
        self.room.on("moved", lambda *_: self.events.append("moved"))
        self.room.on("transcription_received", lambda segments, participant, _: self.transcriptions.append((participant and participant.identity, segments[0].text)))

    def keep(self, coroutine):
        self.tasks.append(asyncio.create_task(coroutine))

    async def read_bytes(self, reader, identity):
        total = hashlib.sha256()
        stream = {"from": identity, "bytes": 0}
        self.streams.append(stream)
        async for part in reader:
            total.update(part)
            stream["bytes"] += len(part)
        stream["sha256"] = total.hexdigest()

    async def read_text(self, reader, identity):
        # Part by part: `read_all` copies what came before with each of them.
        text = "".join([part async for part in reader])
        self.streams.append({"from": identity, "characters": len(text), "sha256": digest(text.encode())})

    async def offerMethods(self):
        @self.room.local_participant.register_rpc_method("double")
        async def double(call):
            self.events.append(f"called by {call.caller_identity}")
            return str(int(call.payload) * 2)

    async def sendBytes(self, length, to=None):
        data = noise(length)
        writer = await self.room.local_participant.stream_bytes("noise.bin", topic="bytes", total_size=length, destination_identities=to)
        for start in range(0, length, 150_000):
            await writer.write(data[start : start + 150_000])
        await writer.aclose()
        return digest(data)

    async def sendText(self, length, to=None, noisy=False):
        repeated = "0123456789 é€𝄞 " * (length // 15 + 1)
        text = (base64.b64encode(noise(length)).decode() if noisy else repeated)[:length]
        await self.room.local_participant.send_text(text, topic="text", destination_identities=to)
        return digest(text.encode())

    async def untilStream(self, sha256, milliseconds=60000, **wanted):
        def look():
            for stream in self.streams:
                if stream["from"] == wanted["from"] and stream.get("sha256") == sha256:
                    return stream

        return await self.until(f"a stream {wanted}", look, milliseconds)

    async def callMethod(self, identity, payload, method="double"):
        return await self.room.local_participant.perform_rpc(destination_identity=identity, method=method, payload=payload)

    async def publishDataTrack(self, name):
        track = await self.room.local_participant.publish_data_track(name=name)
        self.data_tracks[name] = track
        return track.info.sid

    async def unpublishDataTrack(self, name):
        await self.data_tracks[name].unpublish()

    async def pushFrames(self, name, count, size=1, gap=20):
        body = bytearray(noise(size))
        for number in range(count):
            body[0] = number
            self.data_tracks[name].try_push(rtc.DataTrackFrame(payload=bytes(body)))
            await asyncio.sleep(gap / 1000)

    async def subscribeDataTrack(self, identity, name):
        track = await self.until(f"the data track {name} of {identity}", lambda: self.remote_data_tracks.get((identity, name)))

        async def read():
            async for frame in track.subscribe():
                self.frames.append({"name": name, "number": frame.payload[0], "size": len(frame.payload), "sha256": digest(frame.payload)})

        self.keep(read())

    async def untilFrames(self, name, count):
        def look():
            found = [frame for frame in self.frames if frame["name"] == name]
            return found if len(found) >= count else None

        return await self.until(f"{count} frames of {name}", look)

    async def transcribe(self, text, trackSid):
        segment = rtc.TranscriptionSegment(id="s", text=text, start_time=0, end_time=1, final=True, language="en")
        identity = self.room.local_participant.identity
        await self.room.local_participant.publish_transcription(rtc.Transcription(participant_identity=identity, track_sid=trackSid, segments=[segment]))

    async def untilSaid(self, kind, text, **wanted):
        return await self.until(f"{kind} {text}", lambda: (wanted["from"], text) in self.transcriptions)

    async def allow(self, all, identities=()):
        permissions = [rtc.ParticipantTrackPermission(participant_identity=each, allow_all=True) for each in identities]
        self.room.local_participant.set_track_subscription_permissions(allow_all_participants=all, participant_permissions=permissions)

    async def simulate(self, scenario):
        await self.room.simulate_scenario(scenario)

    async def setMetadata(self, metadata):
        await self.room.local_participant.set_metadata(metadata)

    async def roomName(self):
        return self.room.name
