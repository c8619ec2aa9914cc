# SPDX-License-Identifier: EUPL-1.2
"""What arrives at a watcher on GStreamer: how it is decoded, and what is in it."""

import array
import math

RATE = 6000
SAMPLES = 1024
# How what webrtcbin receives comes to an appsink: pictures as bytes of red, green and blue, sound as numbers of 16 bits.
WATCHING = {
    "video": "queue ! rtpvp8depay ! vp8dec ! videoconvert ! video/x-raw,format=RGB ! appsink name=seen max-buffers=1 drop=true sync=false",
    "audio": f"queue ! rtpopusdepay ! opusdec ! audioconvert ! audioresample ! audio/x-raw,format=S16LE,rate={RATE},channels=1"
    f" ! audiobuffersplit output-buffer-size={SAMPLES * 2} ! appsink name=seen max-buffers=1 drop=true sync=false",
}


def bars_of(picture, width, height):
    """The colours of the seven bars, each the mean of its middle."""
    stride = len(picture) // height
    bars = []
    for bar in range(7):
        columns = range(int((bar + 0.3) * width / 7), int((bar + 0.7) * width / 7), 2)
        rows = range(int(height * 0.3), int(height * 0.6), 4)
        places = [row * stride + column * 3 for row in rows for column in columns]
        bars.append([round(sum(picture[place + colour] for place in places) / len(places)) for colour in range(3)])
    return bars


def strongest(sound):
    """The strongest frequency that a test tone may have, by Goertzel's filter; nothing in silence."""
    samples = array.array("h", sound)
    if max(map(abs, samples), default=0) < 300:
        return None
    weighted = [sample / 32768 * (0.5 - 0.5 * math.cos(2 * math.pi * place / SAMPLES)) for place, sample in enumerate(samples)]
    best = {"hertz": 0, "decibel": -200}
    for step in range(17, 342):
        hertz = step * RATE / SAMPLES
        turn = 2 * math.cos(2 * math.pi * hertz / RATE)
        before = last = 0.0
        for value in weighted:
            before, last = last, value + turn * last - before
        power = (before * before + last * last - turn * before * last) / (SAMPLES * SAMPLES)
        decibel = 10 * math.log10(power + 1e-20)
        if decibel > best["decibel"]:
            best = {"hertz": hertz, "decibel": decibel}
    return best
