// SPDX-License-Identifier: EUPL-1.2
/**
 * The words of docs/meeting-protocol.md as types. What comes from the socket is read here, once: what has another shape than
 * the page says becomes the nearest harmless value, so that a newer server is no reason for a view to break.
 */

export type Role = 'owner' | 'moderator' | 'speaker' | 'viewer';
export const ROLES: readonly Role[] = ['owner', 'moderator', 'speaker', 'viewer'];

export type Source = 'microphone' | 'camera' | 'screen';
export const SOURCES: readonly Source[] = ['microphone', 'camera', 'screen'];

export const RIGHTS = ['camera', 'microphone', 'screen', 'chat', 'files', 'unmute'] as const;
export type Right = (typeof RIGHTS)[number];
export type Rights = Record<Right, boolean>;

export interface You {
  identity: string;
  role: Role;
  rights: Rights;
}

export interface Policy {
  lobby: boolean;
  locked: boolean;
  password: boolean;
  opens_with_host: boolean;
  default_role: 'speaker' | 'viewer';
  mute_above: number | null;
  self_unmute: boolean;
  chat: 'all' | 'moderators' | 'off';
  private_chat: boolean;
  chat_history: boolean;
  files: boolean;
  share: 'all' | 'moderators';
  reactions: boolean;
  title_outside: boolean;
  watermark: boolean;
  successor: 'nobody' | 'moderators' | 'longest';
}

/** As it is set: the password is a text, or null for none. */
export type PolicyChange = Partial<Omit<Policy, 'password'>> & { password?: string | null };

export interface RoomFacts {
  title: string;
  e2ee: boolean;
  /** Somebody has a host key. */
  owner: boolean;
  policy: Policy;
}

export interface Members {
  /** Of all who are not plain speakers. */
  roles: ReadonlyMap<string, Role>;
  spotlight: readonly string[];
  viewers: number;
  banned: readonly { id: string; name: string }[];
}

export interface Waiting {
  id: string;
  name: string;
  since_ms: number;
  /** What they say of themselves. */
  note?: string;
}

export interface ChatMessage {
  id: number;
  from: string;
  name: string;
  at_ms: number;
  text: string;
  to?: string;
  reply_to?: number;
  retracted?: 'author' | 'moderator';
}

export interface Hand {
  identity: string;
  /** Viewers raise hands as well, and stand in no other list. */
  name: string;
  since_ms: number;
}

export interface Poll {
  id: number;
  question: string;
  options: readonly string[];
  secret: boolean;
  multiple: boolean;
  open: boolean;
  counts: readonly number[] | undefined;
  votes: ReadonlyMap<string, readonly number[]> | undefined;
  /** Of those who voted: they may have gone. */
  names: ReadonlyMap<string, string> | undefined;
  mine: readonly number[] | undefined;
  voted: number;
  by: string;
  /** It was sealed with another key, or not by who is said to have asked. */
  unreadable?: true;
}

export interface Breakouts {
  rooms: readonly {
    id: string;
    name: string;
    members: readonly string[];
    /** Of these: whoever is elsewhere is not among those one sees. */
    names: ReadonlyMap<string, string>;
    help: boolean;
  }[];
  ends_ms: number | undefined;
  mine: string | undefined;
}

/** One key for each feature. `chat` is the whole of a snapshot, and what changed of a patch. */
export interface Shared {
  you: You;
  room: RoomFacts;
  members: Members;
  lobby: readonly Waiting[];
  chat: readonly ChatMessage[];
  hands: readonly Hand[];
  polls: readonly Poll[];
  breakouts: Breakouts | undefined;
}

export type MeetingEvent =
  /** In an encrypted meeting the emoji is sealed. */
  | { what: 'reaction'; identity: string; emoji: string; sealed?: string }
  | { what: 'muted' | 'unmute_asked'; source: Source; by: string }
  | { what: 'called' | 'ended'; by: string }
  | { what: 'removed'; banned: boolean }
  /** `name` is theirs: whoever is in another room does not see them. `at_ms` is another one for each. */
  | { what: 'broadcast'; text: string; by: string; name: string; at_ms: number }
  | { what: 'breakout'; ticket: { room: string; token: string; identity: string }; name: string }
  | { what: 'help'; room: string; identity: string }
  | { what: 'knock'; id: string; name: string };

export type WaitReason = 'lobby' | 'host' | 'banned_address';

export interface Admission {
  token: string;
  identity: string;
  room: string;
  seat: string | undefined;
  role: Role;
}

export type Frame =
  | { kind: 'snapshot' | 'patch'; version: number; state: Partial<Shared> }
  | { kind: 'answer'; id: number; ok: Json | undefined; error: { code: string; message: string } | undefined }
  | { kind: 'event'; event: MeetingEvent }
  | { kind: 'waiting'; title: string | undefined; reason: WaitReason }
  | { kind: 'admitted'; admission: Admission }
  | { kind: 'refused'; code: 'refused' | 'ended' | 'full' };

export type Json = Record<string, unknown>;

/** A page of the viewers whose name was looked for; `next` is where the following one begins. */
export interface FoundViewers {
  people: readonly { identity: string; name: string }[];
  total: number;
  next: number | undefined;
}

export function readViewers(answer: Json): FoundViewers {
  return {
    people: list(answer.people, (person) => ({ identity: string(person.identity), name: string(person.name) })),
    total: number(answer.total),
    next: typeof answer.next === 'number' ? answer.next : undefined,
  };
}

/** Nothing for what no page says; the socket leaves such a frame alone. */
export function readFrame(text: string): Frame | undefined {
  let frame: Json | undefined;
  try {
    frame = json(JSON.parse(text));
  } catch {
    return undefined;
  }
  if (frame === undefined) return undefined;
  for (const kind of ['snapshot', 'patch'] as const) {
    const body = json(frame[kind]);
    if (body !== undefined && typeof body.version === 'number') {
      return { kind, version: body.version, state: readState(json(body.state) ?? {}) };
    }
  }
  const answer = json(frame.answer);
  if (answer !== undefined) {
    const error = json(answer.error);
    return {
      kind: 'answer',
      id: number(answer.id),
      ok: json(answer.ok),
      error: error && { code: string(error.code), message: string(error.message) },
    };
  }
  const event = readEvent(json(frame.event) ?? {});
  if (event !== undefined) return { kind: 'event', event };
  const waiting = json(frame.waiting);
  if (waiting !== undefined) {
    return { kind: 'waiting', title: optional(waiting.title), reason: readReason(waiting.reason) };
  }
  const admitted = json(frame.admitted);
  if (admitted !== undefined && typeof admitted.token === 'string') {
    return {
      kind: 'admitted',
      admission: {
        token: admitted.token,
        identity: string(admitted.identity),
        room: string(admitted.room),
        seat: optional(admitted.seat),
        role: readRole(admitted.role),
      },
    };
  }
  const refused = json(frame.refused);
  if (refused !== undefined) {
    return { kind: 'refused', code: one(refused.code, ['refused', 'ended', 'full'] as const, 'refused') };
  }
  return undefined;
}

export function readReason(value: unknown): WaitReason {
  return one(value, ['lobby', 'host', 'banned_address'] as const, 'lobby');
}

export function readRole(value: unknown): Role {
  return one(value, ROLES, 'speaker');
}

function readState(state: Json): Partial<Shared> {
  const read: Partial<Shared> = {};
  const you = json(state.you);
  if (you !== undefined) {
    const rights = json(you.rights) ?? {};
    read.you = {
      identity: string(you.identity),
      role: readRole(you.role),
      rights: Object.fromEntries(RIGHTS.map((right) => [right, rights[right] === true])) as Rights,
    };
  }
  const room = json(state.room);
  if (room !== undefined) {
    read.room = {
      title: string(room.title),
      e2ee: room.e2ee === true,
      owner: room.owner === true,
      policy: readPolicy(json(room.policy) ?? {}),
    };
  }
  const members = json(state.members);
  if (members !== undefined) {
    read.members = {
      roles: new Map(Object.entries(json(members.roles) ?? {}).map(([who, role]) => [who, readRole(role)])),
      spotlight: strings(members.spotlight),
      viewers: number(members.viewers),
      banned: list(members.banned, (b) => ({ id: string(b.id), name: string(b.name) })),
    };
  }
  if ('lobby' in state) read.lobby = list(json(state.lobby)?.waiting, readWaiting);
  if ('chat' in state) read.chat = list(json(state.chat)?.messages, readMessage);
  if ('hands' in state) {
    read.hands = list(json(state.hands)?.queue, readHand);
  }
  if ('polls' in state) read.polls = list(json(state.polls)?.polls, readPoll);
  if ('breakouts' in state) read.breakouts = readBreakouts(json(state.breakouts));
  return read;
}

function readPolicy(policy: Json): Policy {
  const flag = (key: keyof Policy) => policy[key] === true;
  return {
    lobby: flag('lobby'),
    locked: flag('locked'),
    password: flag('password'),
    opens_with_host: flag('opens_with_host'),
    default_role: one(policy.default_role, ['speaker', 'viewer'] as const, 'speaker'),
    mute_above: typeof policy.mute_above === 'number' ? policy.mute_above : null,
    self_unmute: policy.self_unmute !== false,
    chat: one(policy.chat, ['all', 'moderators', 'off'] as const, 'all'),
    private_chat: flag('private_chat'),
    chat_history: flag('chat_history'),
    files: flag('files'),
    share: one(policy.share, ['all', 'moderators'] as const, 'all'),
    reactions: policy.reactions !== false,
    title_outside: flag('title_outside'),
    watermark: flag('watermark'),
    successor: one(policy.successor, ['nobody', 'moderators', 'longest'] as const, 'nobody'),
  };
}

function readWaiting(waiting: Json): Waiting {
  const read: Waiting = { id: string(waiting.id), name: string(waiting.name), since_ms: number(waiting.since_ms) };
  if (typeof waiting.note === 'string' && waiting.note !== '') read.note = waiting.note;
  return read;
}

function readHand(hand: Json): Hand {
  return { identity: string(hand.identity), name: string(hand.name), since_ms: number(hand.since_ms) };
}

function readMessage(message: Json): ChatMessage {
  const read: ChatMessage = {
    id: number(message.id),
    from: string(message.from),
    name: string(message.name),
    at_ms: number(message.at_ms),
    text: string(message.text),
  };
  if (typeof message.to === 'string') read.to = message.to;
  if (typeof message.reply_to === 'number') read.reply_to = message.reply_to;
  if (message.retracted === 'author' || message.retracted === 'moderator') read.retracted = message.retracted;
  return read;
}

function readPoll(poll: Json): Poll {
  const votes = json(poll.votes);
  const names = json(poll.names);
  return {
    id: number(poll.id),
    question: string(poll.question),
    options: strings(poll.options),
    secret: poll.secret === true,
    multiple: poll.multiple === true,
    open: poll.open === true,
    counts: Array.isArray(poll.counts) ? numbers(poll.counts) : undefined,
    votes: votes && new Map(Object.entries(votes).map(([who, chosen]) => [who, numbers(chosen)])),
    names: names && new Map(Object.entries(names).map(([who, name]) => [who, string(name)])),
    mine: Array.isArray(poll.mine) ? numbers(poll.mine) : undefined,
    voted: number(poll.voted),
    by: string(poll.by),
  };
}

function readBreakouts(breakouts: Json | undefined): Breakouts | undefined {
  if (breakouts === undefined) return undefined;
  return {
    rooms: list(breakouts.rooms, (r) => ({
      id: string(r.id),
      name: string(r.name),
      members: strings(r.members),
      names: new Map(Object.entries(json(r.names) ?? {}).map(([who, name]) => [who, string(name)])),
      help: r.help === true,
    })),
    ends_ms: typeof breakouts.ends_ms === 'number' ? breakouts.ends_ms : undefined,
    mine: optional(breakouts.mine),
  };
}

function readEvent(event: Json): MeetingEvent | undefined {
  const by = string(event.by);
  switch (event.what) {
    case 'reaction':
      return {
        what: 'reaction',
        identity: string(event.identity),
        emoji: string(event.emoji),
        ...(typeof event.sealed === 'string' ? { sealed: event.sealed } : {}),
      };
    case 'muted':
    case 'unmute_asked':
      return { what: event.what, source: one(event.source, SOURCES, 'microphone'), by };
    case 'called':
    case 'ended':
      return { what: event.what, by };
    case 'removed':
      return { what: 'removed', banned: event.banned === true };
    case 'broadcast':
      return { what: 'broadcast', text: string(event.text), by, name: string(event.name), at_ms: number(event.at_ms) };
    case 'breakout': {
      const ticket = json(event.ticket);
      if (typeof ticket?.token !== 'string') return undefined;
      const { token } = ticket;
      return {
        what: 'breakout',
        ticket: { token, room: string(ticket.room), identity: string(ticket.identity) },
        name: string(event.name),
      };
    }
    case 'help':
      return { what: 'help', room: string(event.room), identity: string(event.identity) };
    case 'knock':
      return { what: 'knock', id: string(event.id), name: string(event.name) };
    default:
      return undefined;
  }
}

export function json(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}

function string(value: unknown): string {
  // Numbers too: an id is compared, never counted with.
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
}

function optional(value: unknown): string | undefined {
  return value === undefined || value === null ? undefined : string(value);
}

function number(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}

function numbers(value: unknown): number[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'number') : [];
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.map(string) : [];
}

function list<T>(value: unknown, read: (item: Json) => T): T[] {
  return Array.isArray(value) ? value.map(json).filter((item) => item !== undefined).map(read) : [];
}

function one<T extends string>(value: unknown, known: readonly T[], otherwise: T): T {
  return known.find((item) => item === value) ?? otherwise;
}
