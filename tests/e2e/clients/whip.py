# SPDX-License-Identifier: EUPL-1.2
"""A publisher on GStreamer's webrtcbin that speaks WHIP (RFC 9725): reads requests as lines of JSON, answers likewise."""

import json
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtp", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import Gst, GstRtp, GstSdp, GstWebRTC  # noqa: E402, F401

PICTURES = "videotestsrc is-live=true pattern=smpte75 ! video/x-raw,width={width},height={height},framerate={fps}/1 ! videoconvert"
ENCODED = "vp8enc deadline=1 target-bitrate={bits} keyframe-max-dist=60 ! rtpvp8pay pt=96 picture-id-mode=15-bit"
SOUND = """
audiotestsrc is-live=true freq={hertz} volume=0.5 ! audioconvert ! audioresample ! audio/x-raw,rate=48000,channels=2
  ! opusenc ! rtpopuspay pt=97 ! application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! peer.sink_1
"""
# Each layer's name, and by how much its picture is smaller.
LAYERS = {"q": 4, "h": 2, "f": 1}
# The headers that say whose a packet is (RFC 8852, RFC 9143).
MID, RID = "urn:ietf:params:rtp-hdrext:sdes:mid", "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
SECTION = "video0"


def described(kind, text):
    _, message = GstSdp.SDPMessage.new_from_text(text)
    return GstWebRTC.WebRTCSessionDescription.new(kind, message)


def single(width, height, fps):
    encoded = ENCODED.format(bits=400_000)
    return f"{PICTURES.format(width=width, height=height, fps=fps)} ! {encoded} ! application/x-rtp,media=video,encoding-name=VP8,payload=96 ! peer.sink_0"


def layered(width, height, fps):
    """The same picture in several sizes, all in one section."""
    # A funnel says nothing of what goes through it: what the offer is to have is set behind it.
    parts = [f"rtpfunnel name=funnel ! capssetter name=section join=false replace=true ! peer.sink_0 {PICTURES.format(width=width, height=height, fps=fps)} ! tee name=all"]
    for rid, smaller in LAYERS.items():
        size = f"video/x-raw,width={width // smaller},height={height // smaller}"
        encoded = ENCODED.format(bits=800_000 // smaller)
        parts.append(f"all. ! queue ! videoscale ! {size} ! {encoded} name={rid} ! funnel.")
    return "\n".join(parts)


def name_layers(pipeline):
    caps = Gst.Caps.from_string(f"application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000,a-mid={SECTION}")
    caps.set_value("extmap-1", MID)
    caps.set_value("extmap-2", RID)
    caps.set_value("a-simulcast", f"send {';'.join(LAYERS)}")
    for rid in LAYERS:
        caps.set_value(f"rid-{rid}", "send")
        for number, element, name, value in [(1, "rtphdrextmid", "mid", SECTION), (2, "rtphdrextstreamid", "rid", rid)]:
            extension = Gst.ElementFactory.make(element)
            extension.set_property(name, value)
            extension.set_id(number)
            pipeline.get_by_name(rid).emit("add-extension", extension)
    pipeline.get_by_name("section").set_property("caps", caps)


class Publisher:
    def __init__(self):
        Gst.init(None)
        self.pipeline = None

    def whip(self, url, token, width=320, height=180, fps=10, hertz=440, simulcast=False, trickle=False):
        video = (layered if simulcast else single)(width, height, fps)
        self.build(f"webrtcbin name=peer bundle-policy=max-bundle {video} {SOUND.format(hertz=hertz)}")
        if simulcast:
            name_layers(self.pipeline)
        needed = threading.Event()
        self.peer.connect("on-negotiation-needed", lambda _: needed.set())
        self.pipeline.set_state(Gst.State.PLAYING)
        self.wait(needed, "something to negotiate")
        for place in range(2):
            transceiver = self.peer.emit("get-transceiver", place)
            transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
        return self.offer(url, token, trickle)

    def endOverHttp(self):
        status = self.request("DELETE", self.url).status
        self.leave()
        return status

    def leave(self):
        if self.pipeline:
            self.pipeline.set_state(Gst.State.NULL)

    def build(self, description):
        self.pipeline = Gst.parse_launch(description)
        self.peer = self.pipeline.get_by_name("peer")
        self.gathered, self.candidates = threading.Event(), []

        def gathering(peer, _):
            if peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
                self.gathered.set()

        self.peer.connect("notify::ice-gathering-state", gathering)
        self.peer.connect("on-ice-candidate", lambda _, place, candidate: self.candidates.append((place, candidate)))

    def offer(self, url, token, trickle=False):
        """Offers what there is, and takes the answer; with `trickle` before any candidate is known."""
        self.token = token
        offer = self.ask("create-offer", None, lambda reply: reply.get_value("offer").sdp.as_text())
        self.ask("set-local-description", described(GstWebRTC.WebRTCSDPType.OFFER, offer))
        if not trickle:
            self.wait(self.gathered, "candidates")
            offer = self.peer.get_property("local-description").sdp.as_text()
        response = self.request("POST", url, offer.encode(), {"Content-Type": "application/sdp"})
        self.url = urllib.parse.urljoin(url, response.headers["Location"])
        self.tag = response.headers["ETag"]
        answer = described(GstWebRTC.WebRTCSDPType.ANSWER, response.read().decode())
        self.ask("set-remote-description", answer)
        told = {"status": response.status, "url": self.url, "etag": self.tag, "offer": offer}
        return {**told, "trickled": self.trickle(offer)} if trickle else told

    def trickle(self, offer):
        """Sends the candidates, each by a request of its own; gives what was answered. One of another session is refused."""
        self.wait(self.gathered, "candidates")
        lines = offer.splitlines()
        credentials = [next(line for line in lines if line.startswith(f"a=ice-{name}:")) for name in ["ufrag", "pwd"]]
        mids = [line for line in lines if line.startswith("a=mid:")]
        sections = [line for line in lines if line.startswith("m=")]
        statuses = []
        for place, candidate in self.candidates:
            statuses.append(self.patch(self.tag, [*credentials, sections[place], mids[place], f"a={candidate}"]))
        return {"taken": statuses, "of another": self.patch('"another"', [*credentials, sections[0], mids[0], "a=end-of-candidates"])}

    def patch(self, tag, lines):
        headers = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": tag}
        try:
            return self.request("PATCH", self.url, "".join(f"{line}\r\n" for line in lines).encode(), headers).status
        except urllib.error.HTTPError as error:
            return error.code

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
        try:
            return urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method), timeout=20)
        except urllib.error.HTTPError as error:
            # What the server says of it is worth more than its status alone.
            error.msg = f"{error.msg}: {error.read().decode(errors='replace')}"
            raise


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
