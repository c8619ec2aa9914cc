// SPDX-License-Identifier: EUPL-1.2
/** Messages that are rightly the same as in English, by language: the word is the same in both. */
export const SAME_AS_ENGLISH: Record<string, readonly string[]> = {
  // In these four: names and figures alone, units as SI writes them, the key Ctrl; and words that the language shares (chat, hand, camera, browser, moderator, name, rate, send).
  fr: ['file_about', 'keys_ctrl', 'stats_kilobits', 'stats_ms'],
  es: ['panel_chat_button', 'panel_chat_short', 'chat_title', 'chat_quoted', 'chat_news', 'file_about', 'keys_ctrl', 'stats_kilobits', 'stats_percent', 'stats_ms'],
  nl: [
    'link_privacy', 'device_camera', 'camera_short', 'panel_chat_button', 'panel_chat_short', 'hand_short', 'role_moderator', 'chat_title', 'chat_quoted', 'chat_news', 'file_about',
    'person_right_camera', 'keys_ctrl', 'keys_shift', 'stats_camera', 'stats_kilobits', 'stats_ms', 'check_title_browser', 'check_title_camera',
  ],
  de: [
    'panel_chat_button', 'panel_chat_short', 'hand_short', 'chat_title', 'chat_quoted', 'chat_news', 'file_about', 'att_name', 'stats_rate', 'stats_kilobits', 'stats_percent', 'stats_ms',
    'check_title_browser',
  ],
  da: [
    'panel_chat_button', 'panel_chat_short', 'chat_title', 'chat_send', 'chat_quoted', 'chat_news', 'file_about', 'keys_ctrl', 'stats_kilobits', 'stats_percent', 'stats_ms',
    'check_title_browser',
  ],
  sv: ['hand_short', 'role_moderator', 'chat_quoted', 'chat_news', 'file_about', 'keys_ctrl', 'stats_kilobits', 'stats_percent', 'stats_ms'],
  // Maltese has the words settings, password and chat from English; the rest as in the languages below.
  mt: [
    'settings_short', 'new_password', 'door_password', 'mod_password', 'panel_chat_button', 'panel_chat_short', 'chat_title',
    'chat_quoted', 'chat_news', 'file_about', 'keys_ctrl', 'keys_shift', 'stats_kilobits', 'stats_ms',
  ],
  // Names and figures alone, the labels of keys, and units as SI writes them; in Croatian and Slovenian also the word moderator.
  bg: ['chat_quoted', 'chat_news', 'file_about', 'keys_ctrl', 'keys_shift', 'stats_kilobits', 'stats_percent', 'stats_ms'],
  hr: ['role_moderator', 'chat_quoted', 'chat_news', 'file_about', 'keys_ctrl', 'keys_shift', 'stats_kilobits', 'stats_percent', 'stats_ms'],
  sl: ['role_moderator', 'chat_quoted', 'chat_news', 'file_about', 'keys_ctrl', 'keys_shift', 'stats_kilobits', 'stats_percent', 'stats_ms'],
  // Likewise names and figures alone, labels of keys, and SI units; Finnish also spaces the percent sign as English does here.
  fi: ['chat_quoted', 'chat_news', 'file_about', 'keys_ctrl', 'stats_kilobits', 'stats_percent', 'stats_ms'],
  et: ['chat_quoted', 'chat_news', 'file_about', 'keys_ctrl', 'keys_shift', 'stats_kilobits', 'stats_ms'],
  hu: ['chat_quoted', 'chat_news', 'file_about', 'keys_ctrl', 'keys_shift', 'stats_kilobits', 'stats_ms'],
  // Likewise names and figures alone, labels of keys, and SI units; in Polish also the word moderator, in Czech chat, data and role.
  pl: ['role_moderator', 'chat_quoted', 'chat_news', 'file_about', 'keys_ctrl', 'keys_shift', 'stats_kilobits', 'stats_ms'],
  cs: ['panel_chat_button', 'panel_chat_short', 'chat_title', 'person_role', 'stage_saving', 'chat_quoted', 'chat_news', 'file_about', 'keys_ctrl', 'keys_shift', 'stats_kilobits', 'stats_percent', 'stats_ms'],
  sk: ['chat_quoted', 'chat_news', 'file_about', 'keys_ctrl', 'keys_shift', 'stats_kilobits', 'stats_percent', 'stats_ms'],
  // Names and figures alone, the labels of keys, and units as SI writes them.
  lt: ['chat_quoted', 'chat_news', 'file_about', 'keys_ctrl', 'keys_shift', 'stats_kilobits', 'stats_percent', 'stats_ms'],
  lv: ['chat_quoted', 'chat_news', 'file_about', 'keys_ctrl', 'keys_shift', 'stats_kilobits', 'stats_percent', 'stats_ms'],
  ga: ['chat_quoted', 'chat_news', 'file_about', 'keys_ctrl', 'keys_shift', 'stats_kilobits', 'stats_ms'],
  // Likewise names and figures alone, labels of keys, and SI units; in Romanian also the words moderator and secret.
  ro: ['role_moderator', 'poll_secret', 'chat_quoted', 'chat_news', 'file_about', 'keys_ctrl', 'keys_shift', 'stats_kilobits', 'stats_percent', 'stats_ms'],
  pt: ['chat_quoted', 'chat_news', 'file_about', 'keys_ctrl', 'keys_shift', 'stats_kilobits', 'stats_percent', 'stats_ms'],
  // Likewise; Italian has the words chat and browser from English.
  it: [
    'panel_chat_button', 'panel_chat_short', 'chat_title', 'chat_quoted', 'chat_news', 'file_about', 'keys_ctrl', 'stats_kilobits', 'stats_percent', 'stats_ms', 'check_title_browser',
  ],
  el: ['chat_quoted', 'chat_news', 'file_about', 'keys_ctrl', 'keys_shift', 'stats_kilobits', 'stats_percent', 'stats_ms'],
};
