# SPDX-License-Identifier: EUPL-1.2
"""An application's server on the published Python SDK: reads calls as lines of JSON, answers likewise."""

import asyncio
import importlib
import json
import sys

from google.protobuf.json_format import MessageToDict, ParseDict
from livekit import api

# Where the protocol's messages of each service are.
MODULES = {"room": "room", "egress": "egress", "ingress": "ingress", "sip": "sip", "agent_dispatch": "agent_dispatch"}


def message(service, name, body):
    module = importlib.import_module(f"livekit.protocol.{MODULES[service]}")
    return ParseDict(body, getattr(module, name)())


class Application:
    async def open(self, url, key, secret):
        self.api = api.LiveKitAPI(url, key, secret)
        self.key = (key, secret)

    async def token(self, identity, name, attributes, kind="standard", **grants):
        """An access token as the SDK writes it."""
        token = api.AccessToken(*self.key).with_identity(identity).with_name(name).with_kind(kind)
        return token.with_attributes(attributes).with_grants(api.VideoGrants(**grants)).to_jwt()

    async def call(self, service, method, request=None, body=None, arguments=None):
        """Calls `method` of `service` with one message, or with plain arguments."""
        given = arguments or {}
        positional = [message(service, request, body or {})] if request else []
        try:
            answer = await getattr(getattr(self.api, service), method)(*positional, **given)
        except api.TwirpError as error:
            return {"error": {"code": error.code, "status": error.status, "message": error.message}}
        if isinstance(answer, list):
            return {"ok": [MessageToDict(each) for each in answer]}
        return {"ok": None if answer is None else MessageToDict(answer)}


async def main():
    application = Application()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        request = json.loads(line)
        reply = {"id": request["id"]}
        try:
            reply["ok"] = await getattr(application, request["name"])(**request["parameters"])
        except Exception as error:  # the test decides what an error means
            reply["error"] = f"{request['name']}: {type(error).__name__}: {error}"
        print(json.dumps(reply), flush=True)


asyncio.run(main())
