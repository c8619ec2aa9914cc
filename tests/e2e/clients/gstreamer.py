# SPDX-License-Identifier: EUPL-1.2
"""Publishes and watches by GStreamer: reads requests as lines of JSON, answers likewise."""

import json
import sys

from whep import Watching
from whip import Publishing


class Client(Publishing, Watching):
    pass


def main():
    client = Client()
    for line in sys.stdin:
        request = json.loads(line)
        reply = {"id": request["id"]}
        try:
            reply["ok"] = getattr(client, request["name"])(**request["parameters"])
        except Exception as error:  # the test decides what an error means
            reply["error"] = f"{request['name']}: {type(error).__name__}: {error}"
        print(json.dumps(reply), flush=True)


main()
