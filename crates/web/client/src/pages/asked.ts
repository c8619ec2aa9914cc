// SPDX-License-Identifier: EUPL-1.2
/** What of the call nobody sees until they ask for it: one file of its own, which later.ts fetches. */
export { default as ShortcutsDialog } from '../keys/ShortcutsDialog.svelte';
export { default as Panels } from '../panels/Panels.svelte';
export { default as StatsDialog } from '../stage/StatsDialog.svelte';
export { default as CallSettings } from './CallSettings.svelte';
