// SPDX-License-Identifier: EUPL-1.2
/** What the meeting tells this person, in words. */
import type { Right, Role, Source } from '../meeting/protocol.ts';
import type { Said } from '../meeting/state.ts';
import { m } from '../messages/index.ts';

export function toastWords(said: Said, nameOf: (identity: string) => string): string {
  switch (said.kind) {
    case 'muted':
      return MUTED[said.source]({ name: nameOf(said.by) });
    case 'unmute_asked':
      return ASKED[said.source]({ name: nameOf(said.by) });
    case 'called':
      return m.toast_called({ name: nameOf(said.by) });
    case 'broadcast':
      return m.toast_broadcast({ name: said.name || nameOf(said.by), text: said.unreadable ? m.e2ee_text_sealed() : said.text });
    case 'help':
      return m.toast_help({ name: nameOf(said.identity), room: said.room });
    case 'moved':
      return m.toast_moved({ room: said.name });
    case 'role':
      return ROLE_NOW[said.role]();
    case 'right':
      return said.right === 'unmute' ? '' : (said.given ? GIVEN : TAKEN)[said.right]();
    case 'failed':
      return failure(said.code);
  }
}

export function roleWord(role: Role): string {
  return ROLE[role]();
}

/** Why a command was not done, and what to do. */
function failure(code: string): string {
  switch (code) {
    case 'not_allowed':
      return m.failed_not_allowed();
    case 'not_found':
      return m.failed_not_found();
    case 'bad_value':
      return m.failed_bad_value();
    case 'too_many':
      return m.failed_too_many();
    case 'too_long':
      return m.failed_too_long();
    case 'closed':
      return m.failed_closed();
    case 'disconnected':
      return m.failed_disconnected();
    case 'no_answer':
      return m.failed_no_answer();
    default:
      return m.failed_other();
  }
}

const MUTED: Record<Source, (p: { name: string }) => string> = {
  microphone: (p) => m.toast_muted_microphone(p),
  camera: (p) => m.toast_muted_camera(p),
  screen: (p) => m.toast_muted_screen(p),
};
const ASKED: Record<Source, (p: { name: string }) => string> = {
  microphone: (p) => m.toast_asked_microphone(p),
  camera: (p) => m.toast_asked_camera(p),
  screen: (p) => m.toast_asked_screen(p),
};
const ROLE: Record<Role, () => string> = {
  owner: () => m.role_owner(),
  moderator: () => m.role_moderator(),
  speaker: () => m.role_speaker(),
  viewer: () => m.role_viewer(),
};
const ROLE_NOW: Record<Role, () => string> = {
  owner: () => m.toast_role_owner(),
  moderator: () => m.toast_role_moderator(),
  speaker: () => m.toast_role_speaker(),
  viewer: () => m.toast_role_viewer(),
};
type Told = Exclude<Right, 'unmute'>;
const GIVEN: Record<Told, () => string> = {
  camera: () => m.toast_given_camera(),
  microphone: () => m.toast_given_microphone(),
  screen: () => m.toast_given_screen(),
  chat: () => m.toast_given_chat(),
  files: () => m.toast_given_files(),
};
const TAKEN: Record<Told, () => string> = {
  camera: () => m.toast_taken_camera(),
  microphone: () => m.toast_taken_microphone(),
  screen: () => m.toast_taken_screen(),
  chat: () => m.toast_taken_chat(),
  files: () => m.toast_taken_files(),
};
