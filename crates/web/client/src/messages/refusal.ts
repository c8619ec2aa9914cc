// SPDX-License-Identifier: EUPL-1.2
import type { Refusal } from '../room/state.ts';
import { m } from './index.ts';

/** Why someone could not come in, and what to do about it. */
export function refusalWords(refusal: Refusal): { title: string; body: string } {
  switch (refusal) {
    case 'room_full':
      return { title: m.error_room_full(), body: m.error_room_full_body() };
    case 'draining':
      return { title: m.error_draining(), body: m.error_draining_body() };
    case 'not_allowed':
      return { title: m.error_not_allowed(), body: m.error_not_allowed_body() };
    case 'unreachable':
      return { title: m.error_unreachable(), body: m.error_unreachable_body() };
    case 'media':
      return { title: m.error_media(), body: m.error_media_body() };
    case 'locked':
      return { title: m.door_locked(), body: m.door_locked_body() };
    case 'banned':
      return { title: m.door_banned(), body: m.door_banned_body() };
    case 'declined':
      return { title: m.door_declined(), body: m.door_declined_body() };
    case 'ended':
      return { title: m.door_ended(), body: m.door_ended_body() };
    case 'bad_name':
    // The door itself asks for passwords.
    case 'password_needed':
    case 'password_wrong':
    case 'other':
      return { title: m.error_other(), body: m.error_other_body() };
  }
}
