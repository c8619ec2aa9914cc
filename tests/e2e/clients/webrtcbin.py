# SPDX-License-Identifier: EUPL-1.2
"""GStreamer's webrtcbin as one end of a session over HTTP (RFC 9725), whichever way media goes."""

import threading
import urllib.error
import urllib.parse
import urllib.request

import gi

for part in ("Gst", "GstRtp", "GstSdp", "GstWebRTC"):
    gi.require_version(part, "1.0")
# GstRtp has what extensions of RTP's header are added with.
from gi.repository import Gst, GstRtp, GstSdp, GstWebRTC  # noqa: E402, F401


def described(kind, text):
    _, message = GstSdp.SDPMessage.new_from_text(text)
    return GstWebRTC.WebRTCSessionDescription.new(kind, message)


class Peer:
    def __init__(self):
        Gst.init(None)
        self.pipeline = None

    def endOverHttp(self):
        status = self.request("DELETE", self.url).status
        self.leave()
        return status

    def leave(self):
        if self.pipeline:
            self.pipeline.set_state(Gst.State.NULL)

    def use(self, pipeline):
        self.pipeline = pipeline
        self.peer = pipeline.get_by_name("peer")
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
