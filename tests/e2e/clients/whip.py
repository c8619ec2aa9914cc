# SPDX-License-Identifier: EUPL-1.2
"""Publishes by WHIP (RFC 9725)."""

import threading

# It says first which version of GStreamer is meant.
from webrtcbin import Gst, GstWebRTC, Peer

PICTURES = "videotestsrc is-live=true pattern=smpte75 ! video/x-raw,width={width},height={height},framerate={fps}/1 ! videoconvert"
ENCODED = {
    "VP8": "vp8enc deadline=1 target-bitrate={bits} keyframe-max-dist=60 ! rtpvp8pay pt=96 picture-id-mode=15-bit",
    # As OBS sends it: x264's, and the parameter sets before each key frame.
    "H264": "x264enc tune=zerolatency speed-preset=ultrafast bitrate={kilobits} key-int-max=60"
    " ! video/x-h264,profile=constrained-baseline ! rtph264pay pt=96 config-interval=-1 aggregate-mode=zero-latency",
}
SOUND = """
audiotestsrc is-live=true freq={hertz} volume=0.5 ! audioconvert ! audioresample ! audio/x-raw,rate=48000,channels=2
  ! opusenc ! rtpopuspay pt=97 ! application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! peer.sink_1
"""
# Each layer's name, and by how much its picture is smaller.
LAYERS = {"q": 4, "h": 2, "f": 1}
# The headers that say whose a packet is (RFC 8852, RFC 9143).
MID, RID = "urn:ietf:params:rtp-hdrext:sdes:mid", "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
SECTION = "video0"


def encoded(codec, bits):
    return ENCODED[codec].format(bits=bits, kilobits=bits // 1000)


def single(width, height, fps, codec):
    pictures = f"{PICTURES.format(width=width, height=height, fps=fps)} ! {encoded(codec, 400_000)}"
    return f"{pictures} ! application/x-rtp,media=video,encoding-name={codec},payload=96 ! peer.sink_0"


def layered(width, height, fps):
    """The same picture in several sizes, all in one section."""
    # A funnel says nothing of what goes through it: what the offer is to have is set behind it.
    parts = [f"rtpfunnel name=funnel ! capssetter name=section join=false replace=true ! peer.sink_0 {PICTURES.format(width=width, height=height, fps=fps)} ! tee name=all"]
    for rid, smaller in LAYERS.items():
        size = f"video/x-raw,width={width // smaller},height={height // smaller}"
        parts.append(f"all. ! queue ! videoscale ! {size} ! {encoded('VP8', 800_000 // smaller)} name={rid} ! funnel.")
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


class Publishing(Peer):
    def whip(self, url, token, width=320, height=180, fps=10, hertz=440, codec="VP8", simulcast=False, trickle=False):
        video = layered(width, height, fps) if simulcast else single(width, height, fps, codec)
        self.use(Gst.parse_launch(f"webrtcbin name=peer bundle-policy=max-bundle {video} {SOUND.format(hertz=hertz)}"))
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
