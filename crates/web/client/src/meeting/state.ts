// SPDX-License-Identifier: EUPL-1.2
/** What a view may know of the meeting around a call: plain values, replaced as a whole at each change. */
import type { ChatMessage, Policy, Right, Rights, Role, Shared, Source } from './protocol.ts';

/** `elsewhere`: another window of the same person has taken this one's place. `none`: there is no meeting to be had. */
export type Connection = 'connecting' | 'open' | 'lost' | 'elsewhere' | 'none';

/** A message as it is read. `unreadable`: it was sealed with another key. */
export interface ChatEntry extends ChatMessage {
  unreadable?: true;
}

/** An emoji on its way up. */
export interface Reaction {
  key: number;
  identity: string;
  emoji: string;
}

/** Something that is said once, to this person. */
export type Said =
  | { kind: 'muted'; source: Source; by: string }
  | { kind: 'unmute_asked'; source: Source; by: string }
  | { kind: 'called'; by: string }
  /** `unreadable`: it was sealed with another key. `at_ms`: when it was said, which tells it from another one of the same words. */
  | { kind: 'broadcast'; text: string; by: string; name?: string; at_ms?: number; unreadable?: true }
  | { kind: 'help'; room: string; identity: string }
  | { kind: 'moved'; name: string }
  | { kind: 'role'; role: Role }
  | { kind: 'right'; right: Right; given: boolean }
  /** A command that was not done. */
  | { kind: 'failed'; code: string };
export type Toast = Said & { key: number };

export interface MeetingState extends Omit<Shared, 'chat'> {
  connection: Connection;
  /** There has been a snapshot: what stands here is the meeting's. */
  ready: boolean;
  chat: readonly ChatEntry[];
  /** Messages of others that came while the chat was not looked at. */
  unread: number;
  reactions: readonly Reaction[];
  toasts: readonly Toast[];
  /** Why this person is out, where the meeting said so. */
  out: { kind: 'removed'; banned: boolean } | { kind: 'ended'; by: string } | undefined;
}

const RIGHTS_NONE: Rights = { camera: false, microphone: false, screen: false, chat: false, files: false, unmute: false };

export const POLICY_OPEN: Policy = {
  lobby: false,
  locked: false,
  password: false,
  opens_with_host: false,
  default_role: 'speaker',
  mute_above: null,
  self_unmute: true,
  chat: 'all',
  private_chat: false,
  chat_history: false,
  files: false,
  share: 'all',
  reactions: true,
  title_outside: false,
  watermark: false,
  successor: 'nobody',
};

export const MEETING_INITIAL: MeetingState = {
  connection: 'connecting',
  ready: false,
  you: { identity: '', role: 'speaker', rights: RIGHTS_NONE },
  room: { title: '', e2ee: false, owner: false, policy: POLICY_OPEN },
  members: { roles: new Map(), spotlight: [], viewers: 0, banned: [] },
  lobby: [],
  chat: [],
  unread: 0,
  hands: [],
  polls: [],
  breakouts: undefined,
  reactions: [],
  toasts: [],
  out: undefined,
};

/** May conduct the meeting. */
export function conducts(state: Pick<MeetingState, 'ready' | 'you'>): boolean {
  return state.ready && (state.you.role === 'owner' || state.you.role === 'moderator');
}

export function roleOf(state: Pick<MeetingState, 'members'>, identity: string): Role {
  return state.members.roles.get(identity) ?? 'speaker';
}
