// SPDX-License-Identifier: EUPL-1.2
import './theme.css';
import './base.css';
import { mount } from 'svelte';
import App from './App.svelte';
import { loadBranding, showColours } from './branding.ts';

const target = document.getElementById('app');
if (target === null) throw new Error('index.html has no #app');
void loadBranding().then((look) => {
  showColours(look, document.documentElement.style, matchMedia('(prefers-color-scheme: dark)'));
  mount(App, { target });
});
