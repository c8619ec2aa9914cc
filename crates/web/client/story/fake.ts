// SPDX-License-Identifier: EUPL-1.2
import type { Person, Picture, RoomState, Screen, Source } from '../src/room/state.ts';
import type { Counters } from '../src/room/stats.ts';
import { Store } from '../src/store.ts';

const NAMES = [
  'Ada Lovelace',
  'Grace Hopper',
  'Édouard Lucas',
  'Niels Bohr',
  'Sofia Kovalevskaya',
  'Maria Gaetana Agnesi di Montevecchia e Brunate',
  'رياض',
  'Jo',
  'Emmy Noether',
  'Alan Turing',
  'Ζωή Παπαδοπούλου',
  'Srinivasa Ramanujan',
];

export class FakeRoom extends Store<RoomState> {
  constructor(query: URLSearchParams) {
    const number = (key: string, otherwise: number) => Number(query.get(key) ?? otherwise);
    const cameras = number('cameras', 0.6);
    const people: Person[] = Array.from({ length: number('people', 5) }, (_, i) => ({
      identity: `person-${i}`,
      name: NAMES[i % NAMES.length] ?? '',
      isLocal: i === 0,
      speaking: i === 1,
      muted: i % 3 === 2,
      connection: i === 4 ? 'weak' : i === 6 ? 'lost' : i === 0 && query.has('weak') ? 'weak' : 'excellent',
      camera: (i * 0.37) % 1 < cameras ? drawn(i, false) : undefined,
    }));
    const screens: Screen[] = Array.from({ length: number('screens', 0) }, (_, i) => ({
      id: `screen-${i}`,
      identity: `person-${i + 1}`,
      name: people[i + 1]?.name ?? '',
      isLocal: false,
      picture: drawn(100 + i, true),
    }));
    const phase = query.get('phase') === 'reconnecting' ? 'reconnecting' : 'connected';
    super({
      phase,
      ending: undefined,
      people,
      speakers: ['person-1'],
      screens,
      recording: query.has('recording'),
      consent: (query.get('consent') ?? undefined) as RoomState['consent'],
      consentFailed: query.has('unheard'),
      sounds: [],
      soundBlocked: query.has('blocked'),
      saving: 'off',
      retryAt: query.has('retry') ? Date.now() + 8_000 : undefined,
      microphone: { on: true, changing: false },
      camera: { on: !query.has('off'), changing: false },
      screen: { on: query.has('sharing'), changing: false },
      problem: query.has('problem') ? { source: 'camera', problem: 'busy' } : undefined,
    });
    // For trying what a lost connection looks like, from the console.
    addEventListener('story:drop', () => this.patch({ phase: 'reconnecting' }));
  }

  async setOn(source: Source, on: boolean): Promise<void> {
    this.patch({ [source]: { on, changing: false } });
  }
  async leave(): Promise<void> {}
  async join(): Promise<void> {}
  async setSaving(saving: RoomState['saving']): Promise<void> {
    this.patch({ saving });
  }
  retryNow(): void {}
  readonly microphoneTrack = undefined;
  readonly othersLevel = 0;
  async counters(): Promise<Counters[]> {
    const since = performance.now();
    return this.value.people.slice(0, 4).map((person, i) => ({
      identity: person.identity,
      name: person.name,
      isLocal: person.isLocal,
      source: 'camera',
      atMs: since,
      bytes: since * (40 + 17 * i),
      packets: since / 10,
      lost: i * 3,
      lostShare: person.isLocal ? 0.004 : undefined,
      roundTripMs: 23 + i,
      jitterMs: 3,
      width: 1280 >> i,
      height: 720 >> i,
      fps: 30,
      codec: 'VP8',
    }));
  }
  async startSound(): Promise<void> {}
  async answerConsent(given: boolean): Promise<void> {
    this.patch({ consent: given ? 'given' : 'refused' });
  }
  dismissProblem(): void {
    this.patch({ problem: undefined });
  }
  async chooseDevice(): Promise<void> {}
}

/** Something like a person before a wall, or a page of text. */
function drawn(seed: number, screen: boolean): Picture {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = screen ? [1920, 1080] : [1280, 720];
  const context = canvas.getContext('2d');
  if (context !== null) {
    const { width, height } = canvas;
    const hue = (seed * 67) % 360;
    context.fillStyle = screen ? '#fff' : `hsl(${hue} 25% 62%)`;
    context.fillRect(0, 0, width, height);
    if (screen) {
      context.fillStyle = '#333';
      for (let line = 0; line < 20; line++) context.fillRect(160, 140 + line * 42, 900 + ((line * 337) % 640), 14);
    } else {
      context.fillStyle = `hsl(${hue} 30% 30%)`;
      context.beginPath();
      context.ellipse(width / 2, height * 1.05, 330, 330, 0, 0, 7);
      context.fill();
      context.fillStyle = `hsl(${(hue * 3) % 40} 45% 62%)`;
      context.beginPath();
      context.ellipse(width / 2, height * 0.42, 125, 165, 0, 0, 7);
      context.fill();
    }
  }
  return {
    id: seed,
    attach(element) {
      element.srcObject = canvas.captureStream(1);
      return () => (element.srcObject = null);
    },
  };
}
