# SPDX-License-Identifier: EUPL-1.2
"""Watches by WHEP, and tells what of another's bars and tone arrives."""

import array
import cmath
import math
import time

# It says first which version of GStreamer is meant.
from webrtcbin import Gst, GstWebRTC, Peer

RATE, WINDOW = 48_000, 8_192
# As decoders want it: pictures as red, green and blue, sound as whole numbers of one channel.
SHOWN = "rtpvp8depay ! vp8dec ! videoconvert ! video/x-raw,format=RGB ! appsink name=shown max-buffers=1 drop=true sync=false"
HEARD = """
rtpopusdepay ! opusdec ! audioconvert ! audioresample ! audio/x-raw,format=S16LE,layout=interleaved,rate=48000,channels=1
  ! appsink name=heard sync=false
"""
WISHES = {
    "video": "application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000,rtcp-fb-nack-pli=true",
    "audio": "application/x-rtp,media=audio,encoding-name=OPUS,payload=97,clock-rate=48000,encoding-params=(string)2",
}


class Watching(Peer):
    def whep(self, url, token):
        pipeline = Gst.Pipeline.new()
        peer = Gst.ElementFactory.make("webrtcbin", "peer")
        peer.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        pipeline.add(peer)
        self.use(pipeline)
        self.sinks = {}
        peer.connect("pad-added", self.arrived)
        pipeline.set_state(Gst.State.PLAYING)
        for caps in WISHES.values():
            peer.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, Gst.Caps.from_string(caps))
        try:
            return self.offer(url, token)
        except Exception:
            self.leave()
            raise

    def arrived(self, _, pad):
        """A track is there: it is decoded from its first packet on."""
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        kind = (pad.get_current_caps() or pad.query_caps(None)).get_structure(0).get_string("media")
        chain = Gst.parse_bin_from_description(SHOWN if kind == "video" else HEARD, True)
        self.sinks[kind] = chain.get_by_name("shown" if kind == "video" else "heard")
        self.pipeline.add(chain)
        chain.sync_state_with_parent()
        pad.link(chain.get_static_pad("sink"))

    def pulled(self, kind, end):
        """What a decoder gave next, with its caps."""
        while time.monotonic() < end:
            sink = self.sinks.get(kind)
            if sink is None:
                time.sleep(0.05)
            elif sample := sink.emit("try-pull-sample", Gst.SECOND // 4):
                buffer = sample.get_buffer()
                return buffer.extract_dup(0, buffer.get_size()), sample.get_caps().get_structure(0)
        raise TimeoutError(f"waited for {kind}; there are {list(self.sinks)}")

    def watchedBars(self, milliseconds=20_000):
        end = time.monotonic() + milliseconds / 1_000
        # One picture may stand still; two are a film.
        self.pulled("video", end)
        data, caps = self.pulled("video", end)
        width, height = caps.get_int("width")[1], caps.get_int("height")[1]
        stride = len(data) // height
        bars = []
        for bar in range(7):
            places = [
                row * stride + column * 3
                for row in range(int(height * 0.3), int(height * 0.7), 4)
                for column in range(int((bar + 0.3) * width / 7), int((bar + 0.7) * width / 7), 4)
            ]
            bars.append([round(sum(data[place + colour] for place in places) / len(places)) for colour in range(3)])
        return {"bars": bars, "width": width, "height": height, "frames": 2}

    def watchedTone(self, near, milliseconds=20_000):
        """The strongest frequency and its level in dB, as soon as it is near what is expected; else the last that was heard."""
        end, held, heard = time.monotonic() + milliseconds / 1_000, array.array("h"), None
        while time.monotonic() < end:
            held.frombytes(self.pulled("audio", end)[0])
            if len(held) < WINDOW:
                continue
            heard = loudest([sample / 32_768 for sample in held[-WINDOW:]])
            held = array.array("h")
            if heard["decibel"] > -38 and abs(heard["hertz"] - near) < 12:
                return heard
        raise TimeoutError(f"waited for {near} Hz and heard {heard}")


def loudest(samples):
    """The loudest of all frequencies, with a Blackman window."""
    turn = 2 * math.pi / len(samples)
    shaped = [each * (0.42 - 0.5 * math.cos(turn * place) + 0.08 * math.cos(2 * turn * place)) for place, each in enumerate(samples)]
    levels = [abs(each) / len(samples) for each in spectrum(shaped)[: len(samples) // 2]]
    best = max(range(1, len(levels)), key=levels.__getitem__)
    return {"hertz": best * RATE / len(samples), "decibel": 20 * math.log10(levels[best] + 1e-12)}


def spectrum(samples):
    """The discrete Fourier transform of a power of two of samples, by halves (Cooley and Tukey)."""
    if len(samples) == 1:
        return samples
    even, odd = spectrum(samples[::2]), spectrum(samples[1::2])
    turned = [cmath.exp(-2j * math.pi * place / len(samples)) * each for place, each in enumerate(odd)]
    return [one + other for one, other in zip(even, turned)] + [one - other for one, other in zip(even, turned)]
