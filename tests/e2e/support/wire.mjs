// SPDX-License-Identifier: EUPL-1.2
// Applications' servers on the SDKs for Go and for Rust, as they are on the wire: Twirp with protobuf in it, and tokens
// with the claims that each SDK writes. Both SDKs give an application the error's code, or a reply that they can read.
import assert from 'node:assert/strict';
import * as protocol from '@livekit/protocol';
import { sign } from './server.mjs';

const ofRoom = ({ room }) => ({ roomAdmin: true, room });
/** Each call's messages, and what the SDKs let its token do. */
const CALLS = {
  CreateRoom: ['CreateRoomRequest', 'Room', () => ({ roomCreate: true })],
  ListRooms: ['ListRoomsRequest', 'ListRoomsResponse', () => ({ roomList: true })],
  DeleteRoom: ['DeleteRoomRequest', 'DeleteRoomResponse', () => ({ roomCreate: true })],
  ListParticipants: ['ListParticipantsRequest', 'ListParticipantsResponse', ofRoom],
  GetParticipant: ['RoomParticipantIdentity', 'ParticipantInfo', ofRoom],
  RemoveParticipant: ['RoomParticipantIdentity', 'RemoveParticipantResponse', ofRoom],
  MutePublishedTrack: ['MuteRoomTrackRequest', 'MuteRoomTrackResponse', ofRoom],
  UpdateParticipant: ['UpdateParticipantRequest', 'ParticipantInfo', ofRoom],
};
/** Go's client takes no other code than these for an error of the server's. */
const CODES = [
  'canceled', 'unknown', 'invalid_argument', 'malformed', 'deadline_exceeded', 'not_found', 'bad_route', 'already_exists',
  'permission_denied', 'unauthenticated', 'resource_exhausted', 'failed_precondition', 'aborted', 'out_of_range', 'unimplemented',
  'internal', 'unavailable', 'dataloss',
];
/** Rust's writes each claim, and each grant: what an application doesn't say is allowed where it is about publishing. */
const RUST_GRANTS = {
  roomCreate: false, roomList: false, roomRecord: false, roomAdmin: false, roomJoin: false, room: '', destinationRoom: '',
  canPublish: true, canSubscribe: true, canPublishData: true, canPublishSources: [], canUpdateOwnMetadata: false,
  ingressAdmin: false, hidden: false, recorder: false,
};
const SIX_HOURS = 6 * 3600;

const SDKS = {
  go: {
    headers: { accept: 'application/protobuf', 'twirp-version': 'v8.1.3', 'user-agent': 'livekit-server-sdk-go' },
    // What is empty is left out.
    claims: (grants, identity) => ({ ...(identity && { sub: identity }), video: grants }),
  },
  rust: {
    headers: { accept: '*/*', 'user-agent': 'livekit-server-sdk-rust' },
    claims: (grants, identity, name = '') => ({
      sub: identity ?? '', name, video: { ...RUST_GRANTS, ...grants }, sip: { admin: false, call: false }, sha256: '', metadata: '', attributes: {},
    }),
  },
};

/** An application's server on the SDK for `go` or `rust`. */
export class Wire {
  constructor(sdk, url, key = { name: 'devkey', secret: 'secret' }) {
    Object.assign(this, { sdk: SDKS[sdk], url, key });
  }

  /** A token as the SDK writes it. */
  token(grants, identity, name, seconds = SIX_HOURS) {
    const now = Math.floor(Date.now() / 1000);
    return sign({ exp: now + seconds, iss: this.key.name, nbf: now, ...this.sdk.claims(grants, identity, name) }, this.key.secret);
  }

  /** Calls the room service; gives the reply, or throws the error that the SDK would give. */
  async call(method, fields = {}) {
    const [Request, Reply, grants] = CALLS[method];
    const response = await fetch(`${this.url}/twirp/livekit.RoomService/${method}`, {
      method: 'POST',
      headers: { ...this.sdk.headers, 'content-type': 'application/protobuf', authorization: `Bearer ${this.token(grants(fields))}` },
      body: new protocol[Request](fields).toBinary(),
    });
    if (response.status === 200) {
      assert.equal(response.headers.get('content-type'), 'application/protobuf');
      return protocol[Reply].fromBinary(new Uint8Array(await response.arrayBuffer()));
    }
    const { code, msg, meta = {} } = await response.json();
    assert.ok(CODES.includes(code) && typeof msg === 'string', `${code}: ${msg}`);
    for (const value of Object.values(meta)) assert.equal(typeof value, 'string');
    throw Object.assign(new Error(`${method}: ${code}: ${msg}`), { code, status: response.status });
  }
}
