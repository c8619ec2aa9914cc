# SPDX-License-Identifier: EUPL-1.2
"""A publisher on GStreamer's webrtcbin that speaks WHIP (RFC 9725): reads requests as lines of JSON, answers likewise."""

import json
import sys
import threading
import urllib.parse
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import Gst, GstSdp, GstWebRTC  # noqa: E402

PIPELINE = """
webrtcbin name=peer bundle-policy=max-bundle
videotestsrc is-live=true pattern=smpte75 ! video/x-raw,width={width},height={height},framerate={fps}/1 ! videoconvert
  ! vp8enc deadline=1 target-bitrate=400000 keyframe-max-dist=60 ! rtpvp8pay pt=96 picture-id-mode=15-bit
  ! application/x-rtp,media=video,encoding-name=VP8,payload=96 ! peer.sink_0
audiotestsrc is-live=true freq={hertz} volume=0.5 ! audioconvert ! audioresample ! audio/x-raw,rate=48000,channels=2
  ! opusenc ! rtpopuspay pt=97 ! application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! peer.sink_1
"""


def described(kind, text):
    _, message = GstSdp.SDPMessage.new_from_text(text)
    return GstWebRTC.WebRTCSessionDescription.new(kind, message)


class Publisher:
    def __init__(self):
        Gst.init(None)
        self.pipeline = None

    def publish(self, url, token, width=320, height=180, fps=10, hertz=440):
        self.token = token
        self.pipeline = Gst.parse_launch(PIPELINE.format(width=width, height=height, fps=fps, hertz=hertz))
        self.peer = self.pipeline.get_by_name("peer")
        needed, gathered = threading.Event(), threading.Event()
        self.peer.connect("on-negotiation-needed", lambda _: needed.set())

        def gathering(peer, _):
            if peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
                gathered.set()

        self.peer.connect("notify::ice-gathering-state", gathering)
        self.pipeline.set_state(Gst.State.PLAYING)
        self.wait(needed, "something to negotiate")
        for place in range(2):
            transceiver = self.peer.emit("get-transceiver", place)
            transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
        offer = self.ask("create-offer", None, lambda reply: reply.get_value("offer").sdp.as_text())
        self.ask("set-local-description", described(GstWebRTC.WebRTCSDPType.OFFER, offer))
        self.wait(gathered, "candidates")
        sdp = self.peer.get_property("local-description").sdp.as_text()
        response = self.request("POST", url, sdp.encode(), {"Content-Type": "application/sdp"})
        self.url = urllib.parse.urljoin(url, response.headers["Location"])
        answer = described(GstWebRTC.WebRTCSDPType.ANSWER, response.read().decode())
        self.ask("set-remote-description", answer)
        return {"status": response.status, "url": self.url, "etag": response.headers["ETag"], "offer": sdp}

    def end(self):
        status = self.request("DELETE", self.url).status
        self.pipeline.set_state(Gst.State.NULL)
        return {"status": status}

    def leave(self):
        if self.pipeline:
            self.pipeline.set_state(Gst.State.NULL)

    def ask(self, name, description, read=lambda _: None):
        """What `read` makes of the reply, which lives no longer than the promise."""
        promise = Gst.Promise.new()
        self.peer.emit(name, description, promise)
        if promise.wait() != Gst.PromiseResult.REPLIED:
            raise RuntimeError(f"{name} was not answered")
        return read(promise.get_reply())

    def wait(self, event, what):
        if not event.wait(20):
            raise TimeoutError(f"waited 20 s for {what}")

    def request(self, method, url, body=None, headers=None):
        headers = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        return urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method), timeout=20)


def main():
    publisher = Publisher()
    for line in sys.stdin:
        request = json.loads(line)
        reply = {"id": request["id"]}
        try:
            reply["ok"] = getattr(publisher, request["name"])(**request["parameters"])
        except Exception as error:  # the test decides what an error means
            reply["error"] = f"{request['name']}: {type(error).__name__}: {error}"
        print(json.dumps(reply), flush=True)


main()
