// SPDX-License-Identifier: EUPL-1.2
/** What livekit-client's words mean for the model. */
import {
  ConnectionError,
  ConnectionErrorReason,
  ConnectionQuality,
  DisconnectReason,
  type Participant,
  ParticipantKind,
  type Track,
} from 'livekit-client';
import { JoinError } from '../join.ts';
import type { Ending, Person, Refusal } from './state.ts';

export function records(participant: Participant): boolean {
  return participant.kind === ParticipantKind.EGRESS;
}

export function byArrival(participants: Iterable<Participant>): Participant[] {
  const time = (p: Participant) => p.joinedAt?.getTime() ?? 0;
  return [...participants].sort((a, b) => time(a) - time(b) || (a.identity < b.identity ? -1 : 1));
}

/** While the connection is gone, those who were there stay where they were, with the last that was seen of them. */
export function keepMissing(before: readonly Person[], live: readonly Person[]): Person[] {
  const found = new Map(live.map((p) => [p.identity, p]));
  const local = live.find((p) => p.isLocal);
  const kept = before.map((p) => {
    const now = p.isLocal ? local : found.get(p.identity);
    if (now !== undefined) found.delete(now.identity);
    return { ...(now ?? { ...p, speaking: false }), camera: now?.camera ?? p.camera };
  });
  return [...kept, ...found.values()];
}

export function connectionOf(quality: ConnectionQuality): Person['connection'] {
  switch (quality) {
    case ConnectionQuality.Lost:
      return 'lost';
    case ConnectionQuality.Poor:
      return 'weak';
    case ConnectionQuality.Excellent:
      return 'excellent';
    default:
      return 'good';
  }
}

/** As loud as the receiver says; browsers that don't say are silent here. */
export function levelOf(track: Track | undefined): number {
  const receiver = (track as { receiver?: RTCRtpReceiver } | undefined)?.receiver;
  return Math.max(0, ...(receiver?.getSynchronizationSources?.() ?? []).map((source) => source.audioLevel ?? 0));
}

/** Nothing where coming back makes sense: the network's faults, and a server that restarts. */
export function endingOf(reason: DisconnectReason | undefined): Ending | undefined {
  switch (reason) {
    case DisconnectReason.CLIENT_INITIATED:
      return { kind: 'left' };
    case DisconnectReason.DUPLICATE_IDENTITY:
      return { kind: 'elsewhere' };
    case DisconnectReason.PARTICIPANT_REMOVED:
      return { kind: 'removed' };
    case DisconnectReason.ROOM_DELETED:
    case DisconnectReason.ROOM_CLOSED:
      return { kind: 'closed' };
    default:
      return undefined;
  }
}

export function refusalOf(error: unknown): Refusal {
  if (error instanceof JoinError) return error.refusal;
  if (!(error instanceof ConnectionError)) return 'other';
  switch (error.reason) {
    case ConnectionErrorReason.NotAllowed:
      return 'not_allowed';
    case ConnectionErrorReason.ServerUnreachable:
    case ConnectionErrorReason.WebSocket:
    case ConnectionErrorReason.Timeout:
      return 'unreachable';
    // What livekit-client reports when the peer connection does not come up.
    case ConnectionErrorReason.InternalError:
      return 'media';
    default:
      return 'other';
  }
}
