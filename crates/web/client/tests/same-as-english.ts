// SPDX-License-Identifier: EUPL-1.2
/** Messages that are rightly the same as in English, by language: the word is the same in both. */
export const SAME_AS_ENGLISH: Record<string, readonly string[]> = {
  nl: ['link_privacy', 'device_camera', 'camera_short'],
  mt: ['settings_short'],
  // Names and figures alone, the labels of keys, and units as SI writes them; in Croatian and Slovenian also the word moderator.
  bg: ['chat_quoted', 'chat_news', 'file_about', 'keys_ctrl', 'keys_shift', 'stats_kilobits', 'stats_percent', 'stats_ms'],
  hr: ['role_moderator', 'chat_quoted', 'chat_news', 'file_about', 'keys_ctrl', 'keys_shift', 'stats_kilobits', 'stats_percent', 'stats_ms'],
  sl: ['role_moderator', 'chat_quoted', 'chat_news', 'file_about', 'keys_ctrl', 'keys_shift', 'stats_kilobits', 'stats_percent', 'stats_ms'],
};
