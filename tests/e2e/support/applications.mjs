// SPDX-License-Identifier: EUPL-1.2
// Applications' servers on both published SDKs, behind one way to ask.
import {
  AgentDispatchClient, EgressClient, EncodedFileOutput, EncodedFileType, IngressClient, IngressInput, RoomServiceClient, SipClient,
} from 'livekit-server-sdk';
import { start } from './children.mjs';

/** Whether a call was refused with this code, and this status if one is given. */
export const refused = (code, status) => (error) => error.code === code && (status === undefined || error.status === status);

/** Calls by the Python SDK: `ask('room.create_room', 'CreateRoomRequest', { name })` gives the answer, or throws its error. */
export async function python(url, key = { name: 'devkey', secret: 'secret' }) {
  const child = start('api-python');
  await child.ask('open', { url, key: key.name, secret: key.secret });
  const call = async (path, parameters) => {
    const [service, method] = path.split('.');
    const { ok, error } = await child.ask('call', { service, method, ...parameters });
    if (error) throw Object.assign(new Error(`${path}: ${error.code}: ${error.message}`), error);
    return ok;
  };
  return {
    ask: (path, request, body = {}) => call(path, { request, body }),
    with: (path, args) => call(path, { arguments: args }),
    token: (claims) => child.ask('token', claims),
    close: () => child.close(),
  };
}

/** The clients of the Node SDK. */
export function node(url, key = { name: 'devkey', secret: 'secret' }) {
  const of = (Client) => new Client(url, key.name, key.secret);
  return {
    rooms: of(RoomServiceClient),
    egress: of(EgressClient),
    ingress: of(IngressClient),
    sip: of(SipClient),
    dispatch: of(AgentDispatchClient),
  };
}

export { EncodedFileOutput, EncodedFileType, IngressInput };
