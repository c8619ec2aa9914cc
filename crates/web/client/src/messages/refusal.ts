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
    case 'bad_name':
    case 'other':
      return { title: m.error_other(), body: m.error_other_body() };
  }
}
