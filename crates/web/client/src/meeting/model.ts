// SPDX-License-Identifier: EUPL-1.2
/**
 * The meeting around a call, as the server conducts it: who may do what, chat, hands, polls, rooms. The model holds what the server
 * last said and asks it for everything else; nothing is shown as done before the server has said so.
 */
import type { Ticket } from '../join.ts';
import { Store } from '../store.ts';
import { Heard } from './heard.ts';
import {
  type ChatMessage,
  type FoundViewers,
  type Frame,
  type Json,
  type MeetingEvent,
  type Poll,
  readViewers,
  RIGHTS,
  type Shared,
} from './protocol.ts';
import { type Cipher, type NewPoll, openAnnouncement, openPoll, openReaction, sealAnnouncement, sealPoll, sealReaction } from './sealed.ts';
import { CommandError, MeetingSocket, type SocketWorld } from './socket.ts';
import { type ChatEntry, MEETING_INITIAL, type MeetingState, type Said } from './state.ts';

export type { Cipher } from './sealed.ts';

export interface MeetingWorld {
  open: SocketWorld['open'];
  /** The ticket of the room, a fresh one when the last was turned down. */
  ticket(again: boolean): Promise<Ticket>;
  pause: SocketWorld['pause'];
  cipher?: Cipher | undefined;
  /** What the user was shown already of what was said to all breakout rooms, in another of them. */
  heard?: Heard | undefined;
  /** The place of this person is in another room now. */
  move(ticket: Ticket, name: string): void;
}

/** The server's own bound, in characters (code points). */
export const CHAT_TEXT_AT_MOST = 4_000;
/** What the server keeps may be less; what a page shows need not be more. */
export const MESSAGES_AT_MOST = 2_000;
export const TOASTS_AT_MOST = 6;
export const REACTIONS_AT_MOST = 40;
/** As long as one floats. */
export const REACTION_MS = 4_000;
/** Long enough to be read twice. What asks for an answer stays. */
export const TOAST_MS = 12_000;
const STAYS: readonly Said['kind'][] = ['unmute_asked', 'called', 'broadcast', 'help'];

export class MeetingModel extends Store<MeetingState> {
  readonly #world: MeetingWorld;
  readonly #socket: MeetingSocket;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  #version = 0;
  /** A patch was missed: until the next snapshot there is nothing to add one to. */
  #stale = true;
  /** The last message that was seen; nothing before the first snapshot. */
  #seen: number | undefined;
  #reading = false;
  #lastKey = 0;
  #closed = false;
  readonly #heard: Heard;
  /** Sealed messages are opened one after the other, so that they appear in order. */
  #opening: Promise<void> = Promise.resolve();
  /** A new snapshot makes what is still being opened obsolete. */
  #generation = 0;

  constructor(world: MeetingWorld) {
    super(MEETING_INITIAL);
    this.#world = world;
    this.#heard = world.heard ?? new Heard();
    this.#socket = new MeetingSocket(
      {
        open: world.open,
        hello: async (again) => ({ token: (await world.ticket(again)).token }),
        pause: world.pause,
      },
      {
        frame: (frame) => this.#frame(frame),
        connected: (yes) => this.patch({ connection: yes ? 'open' : 'lost' }),
        ended: (why) => this.patch({ connection: why === 'replaced' ? 'elsewhere' : 'none' }),
      },
    );
  }

  /** Has the server do something. What it refuses is said to the user in words; then this gives nothing. */
  async do(name: string, fields: Json = {}): Promise<Json | undefined> {
    try {
      return await this.#socket.command(name, fields);
    } catch (error) {
      if (!this.#closed) this.#say({ kind: 'failed', code: error instanceof CommandError ? error.code : 'other' });
      return undefined;
    }
  }

  /** Whether it was sent; if not, the user has been told why, and still has the text. */
  async send(text: string, to?: string, replyTo?: number): Promise<boolean> {
    const { cipher } = this.#world;
    const sealed = cipher === undefined ? text : await cipher.seal(text, this.value.you.identity);
    if (sealed === undefined || Array.from(sealed).length > CHAT_TEXT_AT_MOST) {
      return this.#tooLong();
    }
    const fields: Json = { text: sealed };
    if (to !== undefined) fields.to = to;
    if (replyTo !== undefined) fields.reply_to = replyTo;
    return (await this.do('chat.send', fields)) !== undefined;
  }

  /** Asks all. Whether it was asked; if not, the user has been told why. */
  async openPoll(poll: NewPoll): Promise<boolean> {
    const { cipher } = this.#world;
    const told = cipher === undefined ? poll : await sealPoll(cipher, poll, this.value.you.identity);
    if (told === undefined) return this.#tooLong();
    return (await this.do('poll.open', { ...told })) !== undefined;
  }

  async react(emoji: string): Promise<void> {
    const { cipher } = this.#world;
    if (cipher === undefined) return void (await this.do('reaction.send', { emoji }));
    const sealed = await sealReaction(cipher, emoji, this.value.you.identity);
    if (sealed !== undefined) await this.do('reaction.send', { sealed });
  }

  /** Speaks to all breakout rooms. Whether that was done; if not, the user has been told why. */
  async announce(text: string): Promise<boolean> {
    const { cipher } = this.#world;
    const told = cipher === undefined ? text : await sealAnnouncement(cipher, text, this.value.you.identity);
    if (told === undefined) return this.#tooLong();
    return (await this.do('breakout.broadcast', { text: told })) !== undefined;
  }

  /** Viewers whose name has that in it, a page from `skip` on; nothing where the server said no. */
  async findViewers(text: string, skip = 0): Promise<FoundViewers | undefined> {
    const answer = await this.do('viewers.find', { text, skip });
    return answer === undefined ? undefined : readViewers(answer);
  }

  /** Whether the chat is being looked at: then nothing in it is news. */
  reading(yes: boolean): void {
    this.#reading = yes;
    if (yes) this.#see();
  }

  dismiss(key: number): void {
    this.patch({ toasts: this.value.toasts.filter((toast) => toast.key !== key) });
  }

  /** What was said and not put away, and does not go by itself: whoever goes to another room takes it along. */
  get lasting(): Said[] {
    return this.value.toasts.filter(({ kind }) => STAYS.includes(kind)).map(({ key: _, ...said }) => said);
  }

  /** Tells this person something, as the server's events are told. */
  say(said: Said): void {
    this.#say(said);
  }

  close(): void {
    this.#closed = true;
    this.#socket.close();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  #frame(frame: Frame): void {
    if (this.#closed) return;
    if (frame.kind === 'event') return this.#event(frame.event);
    if (frame.kind === 'snapshot') {
      this.#version = frame.version;
      this.#stale = false;
      this.#generation += 1;
      const { chat, polls, ...state } = { ...MISSING, ...frame.state };
      this.#toldOf(state);
      this.patch({ ...state, ready: true });
      this.#read(chat, []);
      this.#readPolls(polls);
    }
    if (frame.kind === 'patch' && !this.#stale) {
      if (frame.version !== this.#version + 1) {
        this.#stale = true;
        void this.#socket.command('resync').catch(() => undefined);
        return;
      }
      this.#version = frame.version;
      const { chat, polls, ...state } = frame.state;
      this.#toldOf(state);
      this.patch(state);
      if (chat !== undefined) this.#read(chat, undefined);
      if (polls !== undefined) this.#readPolls(polls);
    }
  }

  /** Adds messages to those that are there, or to `before`; sealed ones as soon as they are opened. */
  #read(messages: readonly ChatMessage[], before: readonly ChatEntry[] | undefined): void {
    const { cipher } = this.#world;
    const generation = this.#generation;
    const add = (entries: readonly ChatEntry[]) => {
      if (this.#closed || generation !== this.#generation) return;
      const known = new Map((before ?? this.value.chat).map((m) => [m.id, m]));
      for (const entry of entries) known.set(entry.id, entry);
      const chat = [...known.values()].sort((a, b) => a.id - b.id).slice(-MESSAGES_AT_MOST);
      this.patch({ chat });
      // What was there on arrival is not news.
      if (this.#seen === undefined || this.#reading) this.#see();
      else this.#count();
    };
    if (cipher === undefined) return add(messages);
    this.#opening = this.#opening.then(async () => {
      add(await Promise.all(messages.map((message) => opened(message, cipher))));
    });
  }

  #readPolls(polls: readonly Poll[]): void {
    const { cipher } = this.#world;
    if (cipher === undefined) return this.patch({ polls });
    const generation = this.#generation;
    this.#opening = this.#opening.then(async () => {
      const opened = await Promise.all(polls.map((poll) => openPoll(cipher, poll)));
      if (!this.#closed && generation === this.#generation) this.patch({ polls: opened });
    });
  }

  #tooLong(): false {
    this.#say({ kind: 'failed', code: 'too_long' });
    return false;
  }

  #see(): void {
    if (!this.value.ready) return;
    this.#seen = Math.max(this.#seen ?? 0, this.value.chat.at(-1)?.id ?? 0);
    if (this.value.unread !== 0) this.patch({ unread: 0 });
  }

  #count(): void {
    const { chat, you } = this.value;
    const seen = this.#seen ?? 0;
    const unread = chat.filter((m) => m.id > seen && m.from !== you.identity && m.retracted === undefined).length;
    if (unread !== this.value.unread) this.patch({ unread });
  }

  /** Whoever is given or denied something is told so. */
  #toldOf({ you }: Partial<Shared>): void {
    if (you === undefined || !this.value.ready) return;
    const before = this.value.you;
    if (you.role !== before.role) return this.#say({ kind: 'role', role: you.role });
    for (const right of RIGHTS) {
      // Muting and unmuting have events of their own.
      if (right !== 'unmute' && you.rights[right] !== before.rights[right]) {
        this.#say({ kind: 'right', right, given: you.rights[right] });
      }
    }
  }

  #event(event: MeetingEvent): void {
    switch (event.what) {
      case 'reaction':
        return void this.#reacted(event.identity, event.emoji, event.sealed);
      case 'muted':
        return this.#say({ kind: 'muted', source: event.source, by: event.by });
      case 'unmute_asked':
        // To be called is to be asked.
        if (event.source === 'microphone' && this.value.toasts.some(({ kind }) => kind === 'called')) return;
        return this.#say({ kind: 'unmute_asked', source: event.source, by: event.by });
      case 'called':
        this.patch({ toasts: this.value.toasts.filter((toast) => toast.kind !== 'unmute_asked' || toast.source !== 'microphone') });
        return this.#say({ kind: 'called', by: event.by });
      case 'broadcast':
        return this.#announced(event);
      case 'help': {
        const room = this.value.breakouts?.rooms.find(({ id }) => id === event.room);
        return this.#say({ kind: 'help', room: room?.name ?? event.room, identity: event.identity });
      }
      case 'removed':
        return this.patch({ out: { kind: 'removed', banned: event.banned } });
      case 'ended':
        return this.patch({ out: { kind: 'ended', by: event.by } });
      case 'breakout':
        return this.#world.move(event.ticket, event.name);
      case 'knock':
        // The lobby's own state shows it.
        return;
    }
  }

  /** In an encrypted meeting only what is sealed with its key and by whoever is said to have sent it is shown. */
  async #reacted(identity: string, plain: string, sealed: string | undefined): Promise<void> {
    const { cipher } = this.#world;
    if (cipher === undefined) return plain === '' ? undefined : this.#react(identity, plain);
    const emoji = sealed === undefined ? undefined : await openReaction(cipher, sealed, identity);
    if (emoji !== undefined && !this.#closed) this.#react(identity, emoji);
  }

  #announced({ text, by, name, at_ms }: Extract<MeetingEvent, { what: 'broadcast' }>): void {
    const { cipher } = this.#world;
    const show = (opened: string | undefined) => {
      // Told again, it is shown where it was not before: only what is shown has been heard.
      if (this.#closed || !this.#heard.take(at_ms)) return;
      this.#say({ kind: 'broadcast', text: opened ?? '', by, name, at_ms, ...(opened === undefined ? { unreadable: true } : {}) });
    };
    if (cipher === undefined) return show(text);
    this.#opening = this.#opening.then(async () => show(await openAnnouncement(cipher, text, by)));
  }

  #react(identity: string, emoji: string): void {
    const key = ++this.#lastKey;
    this.patch({ reactions: [...this.value.reactions, { key, identity, emoji }].slice(-REACTIONS_AT_MOST) });
    this.#after(REACTION_MS, () => this.patch({ reactions: this.value.reactions.filter((r) => r.key !== key) }));
  }

  #say(said: Said): void {
    const key = ++this.#lastKey;
    // The same again takes the place of what was said before.
    const others = this.value.toasts.filter(({ key: _, ...before }) => JSON.stringify(before) !== JSON.stringify(said));
    this.patch({ toasts: [...others, { ...said, key }].slice(-TOASTS_AT_MOST) });
    if (!STAYS.includes(said.kind)) this.#after(TOAST_MS, () => this.dismiss(key));
  }

  #after(ms: number, then: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      then();
    }, ms);
    this.#timers.add(timer);
  }
}

/** What a snapshot leaves out is not there: moderators alone have a lobby. */
const MISSING: Shared = {
  you: MEETING_INITIAL.you,
  room: MEETING_INITIAL.room,
  members: MEETING_INITIAL.members,
  lobby: [],
  chat: [],
  hands: [],
  polls: [],
  breakouts: undefined,
};

async function opened(message: ChatMessage, cipher: Cipher): Promise<ChatEntry> {
  if (message.retracted !== undefined) return message;
  const text = await cipher.open(message.text, message.from).catch(() => undefined);
  return text === undefined ? { ...message, text: '', unreadable: true } : { ...message, text };
}
