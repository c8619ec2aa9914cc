// SPDX-License-Identifier: EUPL-1.2
/** Messages that are rightly the same as in English, by language: the word is the same in both. */
export const SAME_AS_ENGLISH: Record<string, readonly string[]> = {
  nl: ['link_privacy', 'device_camera', 'camera_short'],
  mt: ['settings_short'],
};
