// SPDX-License-Identifier: EUPL-1.2
/**
 * The views with made-up people, for looking at them: /story/index.html?view=call&people=5. Not part of a build.
 * `view`: call, after, unknown. `people`, `screens`, `cameras` (share of people with one), `phase`, `problem`, `blocked`.
 */
import '../src/theme.css';
import '../src/base.css';
import { mount } from 'svelte';
import After from '../src/pages/After.svelte';
import Call from '../src/pages/Call.svelte';
import Unknown from '../src/pages/Unknown.svelte';
import type { Ending } from '../src/room/state.ts';
import { loadSettings } from '../src/settings.ts';
import { FakeRoom } from './fake.ts';

const query = new URLSearchParams(location.search);
const target = document.getElementById('app');
if (target === null) throw new Error('index.html has no #app');

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
  case 'unknown':
    mount(Unknown, { target, props: { onhome: () => undefined } });
    break;
  default:
    mount(Call, { target, props: { model: new FakeRoom(query), settings: loadSettings() } });
}
