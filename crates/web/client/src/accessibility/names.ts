// SPDX-License-Identifier: EUPL-1.2
/** What the statement calls the views and walks that the tests know by key. A test holds the two together. */
import { m } from '../messages/index.ts';

export const VIEWS: Readonly<Record<string, () => string>> = {
  home: () => m.access_view_home(),
  lobby: () => m.access_view_lobby(),
  alone: () => m.access_view_alone(),
  call: () => m.access_view_call(),
  more: () => m.stage_more_title(),
  settings: () => m.access_view_settings(),
  new: () => m.new_title(),
  waiting: () => m.wait_lobby(),
  lobby_toast: () => m.lobby_region(),
  chat: () => m.chat_title(),
  people: () => m.people_title(),
  invite: () => m.inv_title(),
  polls: () => m.poll_title(),
  breakouts: () => m.breakout_title(),
  moderation: () => m.mod_title(),
  after: () => m.access_view_after(),
  live: () => m.access_view_live(),
  check: () => m.check_title(),
  unknown: () => m.access_view_unknown(),
  statement: () => m.access_view_statement(),
};

export const WALKS: Readonly<Record<string, () => string>> = {
  call: () => m.access_walk_call(),
  admit: () => m.lobby_admit(),
  hand: () => m.hand_raise(),
  chat: () => m.panel_chat_short(),
  poll: () => m.poll_new(),
};
