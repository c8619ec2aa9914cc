// SPDX-License-Identifier: EUPL-1.2
/**
 * The views with made-up people, for looking at them: /story/index.html?view=call&people=5. Not part of a build.
 * `view`: call, after, unknown. `people`, `screens`, `cameras` (share of people with one), `phase`, `problem`, `blocked`,
 * `hands`, `spotlight` (identities), `weak`, `retry`. `view=lobby`: `title`, `people`, `locked`, `recording`, `e2ee`, `denied`.
 * Of the meeting: `role`, `chat`, `unread`, `lobby`, `hands`, `viewers` (numbers), `polls`, `breakouts`, `toasts`.
 */
import '../src/theme.css';
import '../src/base.css';
import { mount } from 'svelte';
import { FileDesk } from '../src/meeting/files.ts';
import type { MeetingModel } from '../src/meeting/model.ts';
import { LocalMedia } from '../src/devices/media.ts';
import { allTexts, useLanguage } from '../src/messages/index.ts';
import { BASE } from '../src/messages/locales.ts';
import After from '../src/pages/After.svelte';
import Call from '../src/pages/Call.svelte';
import Lobby from '../src/pages/Lobby.svelte';
import Unknown from '../src/pages/Unknown.svelte';
import type { Ending } from '../src/room/state.ts';
import { loadSettings } from '../src/settings.ts';
import { FakeRoom } from './fake.ts';
import { FakeMeeting } from './meeting.ts';

const query = new URLSearchParams(location.search);
const target = document.getElementById('app');
if (target === null) throw new Error('index.html has no #app');

await useLanguage(query.get('language') ?? BASE);
await allTexts();
const REFUSING = {
  getUserMedia: () => Promise.reject(new DOMException('', 'NotAllowedError')),
  enumerateDevices: () => Promise.resolve([]),
  addEventListener: () => undefined,
  removeEventListener: () => undefined,
} as unknown as MediaDevices;

switch (query.get('view')) {
  case 'after':
    mount(After, {
      target,
      props: {
        ending: { kind: query.get('ending') ?? 'left' } as Ending,
        onrejoin: () => undefined,
        onhome: () => undefined,
      },
    });
    break;
  case 'lobby': {
    const media = new LocalMedia(query.has('denied') ? REFUSING : navigator.mediaDevices, loadSettings());
    void media.start();
    mount(Lobby, {
      target,
      props: {
        media,
        facts: {
          title: query.get('title') ?? undefined,
          e2ee: query.has('e2ee'),
          password: false,
          lobby: query.has('lobby'),
          locked: query.has('locked'),
          people: Number(query.get('people') ?? 3),
          recording: query.has('recording'),
        },
        name: '',
        joining: false,
        refusal: undefined,
        onjoin: () => undefined,
      },
    });
    break;
  }
  case 'unknown':
    mount(Unknown, { target, props: { onhome: () => undefined } });
    break;
  default:
    mount(Call, {
      target,
      props: {
        model: new FakeRoom(query),
        meeting: new FakeMeeting(query) as unknown as MeetingModel,
        files: new FileDesk(() => false, false),
        settings: loadSettings(),
      },
    });
}
