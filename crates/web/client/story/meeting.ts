// SPDX-License-Identifier: EUPL-1.2
import type { ChatEntry, MeetingState, Said } from '../src/meeting/state.ts';
import { MEETING_INITIAL } from '../src/meeting/state.ts';
import type { Json, Poll, Role } from '../src/meeting/protocol.ts';
import { Store } from '../src/store.ts';

const TEXTS = [
  'Good morning. The papers are at https://example.org/council/2027-03 (pages 4 to 9).',
  'Thank you.',
  'Can everybody hear me? The room here has a bit of an echo, so I keep myself muted unless I speak.',
  'Loud and clear',
  'I would like to come back to the second item:\n  the figures of last year\n  the plan for the next',
];

const ALL = { camera: true, microphone: true, screen: true, chat: true, files: true, unmute: true };

/** A meeting without a server: it does what it is asked, here alone. */
export class FakeMeeting extends Store<MeetingState> {
  #last = 1_000;

  constructor(query: URLSearchParams) {
    const number = (key: string) => Number(query.get(key) ?? 0);
    const at = Date.UTC(2027, 2, 4, 9, 2);
    const chat: ChatEntry[] = Array.from({ length: number('chat') }, (_, i) => ({
      id: i + 1,
      from: `person-${[1, 1, 2, 0, 3][i % 5]}`,
      name: ['Grace Hopper', 'Grace Hopper', 'Édouard Lucas', 'Ada Lovelace', 'Niels Bohr'][i % 5] ?? '',
      at_ms: at + i * 50_000,
      text: TEXTS[i % TEXTS.length] ?? '',
      ...(i % 5 === 3 ? { reply_to: i } : {}),
      ...(i === 6 ? { retracted: 'moderator' as const, text: '' } : {}),
    }));
    const poll = (id: number, change: Partial<Poll>): Poll => ({
      id,
      question: 'When shall we meet again?',
      options: ['Monday, 10:00', 'Tuesday, 14:00', 'Not this week'],
      secret: false,
      multiple: false,
      open: true,
      counts: undefined,
      votes: undefined,
      names: undefined,
      mine: undefined,
      voted: 4,
      by: 'person-0',
      ...change,
    });
    const said: Said[] = [
      { kind: 'unmute_asked', source: 'microphone', by: 'person-1' },
      { kind: 'muted', source: 'microphone', by: 'person-1' },
      { kind: 'failed', code: 'not_allowed' },
    ];
    super({
      ...MEETING_INITIAL,
      connection: 'open',
      ready: true,
      you: { identity: 'person-0', role: (query.get('role') ?? 'owner') as Role, rights: ALL },
      room: {
        ...MEETING_INITIAL.room,
        title: 'Council, budget',
        owner: true,
        policy: { ...MEETING_INITIAL.room.policy, private_chat: true, files: true, lobby: true },
      },
      members: {
        roles: new Map<string, Role>([['person-0', 'owner'], ['person-3', 'moderator']]),
        spotlight: (query.get('spotlight') ?? '').split(',').filter((each) => each !== ''),
        viewers: number('viewers'),
        banned: [],
      },
      hands: Array.from({ length: number('hands') }, (_, i) => ({ identity: `person-${i + 1}`, name: '', since_ms: i })),
      lobby: Array.from({ length: number('lobby') }, (_, i) => ({ id: `w${i}`, name: ['Emmy Noether', 'Srinivasa Ramanujan', 'Jo'][i % 3] ?? '', since_ms: i })),
      chat,
      unread: number('unread'),
      polls: query.has('polls')
        ? [poll(1, { open: false, counts: [3, 1, 0], votes: new Map([['person-1', [0]], ['person-2', [0]], ['person-3', [1]]]), mine: [0] }), poll(2, { secret: true, question: 'Do we adopt the minutes?', options: ['Yes', 'No', 'Abstain'] })]
        : [],
      breakouts: query.has('breakouts')
        ? {
            rooms: [
              { id: '1', name: 'Room 1', members: ['person-1', 'person-2'], names: new Map(), help: true },
              { id: '2', name: 'Room 2', members: ['person-3'], names: new Map([['person-3', 'Sophie Germain']]), help: false },
            ],
            ends_ms: Date.now() + 8 * 60_000,
            mine: undefined,
          }
        : undefined,
      toasts: query.has('toasts') ? said.map((one, key) => ({ ...one, key })) : [],
    });
    // For trying what a reaction looks like, from the console.
    addEventListener('story:react', () => this.do('reaction.send', { emoji: '👏', identity: 'person-1' }));
  }

  async do(command: string, fields: Json = {}): Promise<Json | undefined> {
    const { you, hands, reactions, room, lobby, chat } = this.value;
    switch (command) {
      case 'hand.raise':
        this.patch({ hands: [...hands, { identity: you.identity, name: '', since_ms: Date.now() }] });
        break;
      case 'hand.lower':
        this.patch({ hands: hands.filter(({ identity }) => identity !== (fields.identity ?? you.identity)) });
        break;
      case 'reaction.send':
        this.patch({ reactions: [...reactions, { key: ++this.#last, identity: String(fields.identity ?? you.identity), emoji: String(fields.emoji) }] });
        break;
      case 'policy.set':
        this.patch({ room: { ...room, policy: { ...room.policy, ...(fields.policy as object) } } });
        break;
      case 'lobby.admit':
      case 'lobby.refuse':
        this.patch({ lobby: lobby.filter(({ id }) => fields.everyone !== true && id !== fields.waiting) });
        break;
      case 'chat.retract':
        this.patch({ chat: chat.map((m) => (m.id === fields.message ? { ...m, text: '', retracted: 'author' } : m)) });
        break;
      case 'attendance.get':
        return { people: chat.map((m) => ({ name: m.name, joined_ms: m.at_ms, left_ms: null, spoke_ms: m.id * 40_000 })) };
    }
    return {};
  }
  async send(text: string): Promise<boolean> {
    const { you, chat } = this.value;
    this.patch({ chat: [...chat, { id: ++this.#last, from: you.identity, name: 'Ada Lovelace', at_ms: Date.now(), text }] });
    return true;
  }
  reading(yes: boolean): void {
    if (yes) this.patch({ unread: 0 });
  }
  dismiss(key: number): void {
    this.patch({ toasts: this.value.toasts.filter((toast) => toast.key !== key) });
  }
  say(): void {}
  close(): void {}
}
