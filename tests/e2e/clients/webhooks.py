# SPDX-License-Identifier: EUPL-1.2
"""The published Python SDK's receiver of webhooks: reads requests as lines of JSON, answers likewise."""

import json
import sys

from google.protobuf.json_format import MessageToDict
from livekit.api import TokenVerifier, WebhookReceiver

for line in sys.stdin:
    request = json.loads(line)
    parameters = request["parameters"]
    try:
        receiver = WebhookReceiver(TokenVerifier(parameters["key"], parameters["secret"]))
        event = receiver.receive(parameters["body"], parameters["token"])
        answer = {"id": request["id"], "ok": MessageToDict(event)}
    except Exception as error:  # what the SDK says is what the test asks for
        answer = {"id": request["id"], "error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
