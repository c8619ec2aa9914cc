// SPDX-License-Identifier: EUPL-1.2
import './theme.css';
import './base.css';
import { mount } from 'svelte';
import App from './App.svelte';
import { loadBranding } from './branding.ts';
import { useLanguage } from './messages/index.ts';
import { BASE, wantedLocale } from './messages/locales.ts';
import { loadSettings } from './settings.ts';
import Offline from './pwa/Offline.svelte';
import { register } from './pwa/register.ts';
import { startLook } from './theme.ts';

const target = document.getElementById('app');
if (target === null) throw new Error('index.html has no #app');
const { language: chosen, theme } = loadSettings();
const look = startLook(theme);

/** Whoever's language is known before the server has said its own need not wait for that. */
async function speak(): Promise<void> {
  const wishes = { chosen, browser: navigator.languages };
  const wanted = wantedLocale(wishes) ?? wantedLocale({ server: (await asked).language }) ?? BASE;
  if (!(await useLanguage(wanted))) await useLanguage(BASE);
}

const asked = loadBranding();
void Promise.all([asked, speak()]).then(([branding]) => {
  look.brand(branding);
  // Set by the service worker when there was no network to ask for the page.
  if (document.documentElement.dataset.offline !== undefined) mount(Offline, { target });
  else mount(App, { target });
  if (import.meta.env.PROD) void register();
});
