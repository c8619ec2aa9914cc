// SPDX-License-Identifier: EUPL-1.2
/**
 * Every text that the client shows, in English, one function each, called as paraglide's compiled messages are
 * (`m.joined({ name })`): the day the catalogues come, these functions become the compiled ones and no view changes.
 *
 * A message is a whole sentence. None is put together from pieces, since other languages order them differently.
 */

import { branding } from '../branding.ts';

const plural = new Intl.PluralRules('en');
const list = new Intl.ListFormat('en', { style: 'long', type: 'conjunction' });
const count = (n: number, one: string, other: string) => (plural.select(n) === 'one' ? one : other);

// Home.
export const app_name = () => branding().name;
export const home_title = () => 'Open a link and talk.';
export const home_lead = () =>
  `${app_name()} is a video meeting service that your own organisation runs: no account, nothing to install, and nobody else in between.`;
export const home_new = () => 'New meeting';
export const home_new_hint = () => 'Makes a link that cannot be guessed. Whoever has it can come in.';
export const home_or = () => 'or join one';
export const home_link_label = () => 'Meeting link';
export const home_link_placeholder = () => 'Paste the link you were sent';
export const home_link_join = () => 'Join';
export const home_link_empty = () => 'Paste a meeting link first.';
export const home_link_invalid = () => 'This is not a meeting link. It looks like https://…/r/ followed by letters and digits.';
export const home_link_elsewhere = () => 'This link belongs to another server. Open it in your browser’s address bar.';
export const home_licences = () => 'Licences of the parts we use';
export const link_imprint = () => 'Legal notice';
export const link_privacy = () => 'Privacy';
export const link_terms = () => 'Terms of use';
export const link_accessibility = () => 'Accessibility';
export const unknown_title = () => 'There is no such page';
export const unknown_body = () => 'The address may be incomplete. Check the link that you were sent.';
export const to_home = () => 'Go to the start page';

// A live stream, for whoever watches.
export const live_title = () => 'Live stream';
export const live_waiting = () => 'The stream has not begun yet';
export const live_waiting_body = () => 'It starts here by itself as soon as it does.';
export const live_ended = () => 'The stream has ended';
export const live_ended_body = () => 'Thank you for watching. You may close this page.';
export const live_gone = () => 'There is no stream here';
export const live_gone_body = () => 'It may have ended, or the link is incomplete. Check the link that you were sent.';
export const live_failed = () => 'The stream cannot be played';
export const live_failed_body = () => 'Check your internet connection. This page goes on trying.';
export const live_sound = () => 'Turn the sound on';

// Before the call.
export const lobby_title = () => 'Ready to join?';
export const lobby_heading_page = () => 'Join the meeting';
export const lobby_name_label = () => 'Your name';
export const lobby_name_hint = () => 'Shown to the others, and kept on this device only.';
export const lobby_name_missing = () => 'Type a name, so that the others know who you are.';
export const lobby_join = () => 'Join now';
export const lobby_joining = () => 'Joining…';
export const lobby_preview = () => 'Your camera, as you see yourself in a mirror';
export const lobby_camera_off = () => 'Your camera is off';
export const lobby_camera_starting = () => 'Starting the camera…';
export const lobby_level = () => 'Microphone level';
export const lobby_devices = () => 'Camera and sound';
export const lobby_without_devices = () => 'You can join all the same: you will see and hear the others.';
export const lobby_try_again = () => 'Try again';
export const device_camera = () => 'Camera';
export const device_microphone = () => 'Microphone';
export const device_speaker = () => 'Loudspeaker';
export const device_default = () => 'Default of this device';
export const device_unnamed = (p: { number: number }) => `Device ${p.number}`;
export const device_none_camera = () => 'No camera found';
export const device_none_microphone = () => 'No microphone found';

// What is wrong with a device.
export const denied_both = () =>
  'The browser has blocked the camera and the microphone for this page. To allow them, open the settings beside the address bar.';
export const denied_camera = () =>
  'The browser has blocked the camera for this page. To allow it, open the settings beside the address bar.';
export const denied_microphone = () =>
  'The browser has blocked the microphone for this page. To allow it, open the settings beside the address bar.';
export const absent_both = () => 'This device has neither a camera nor a microphone.';
export const absent_camera = () => 'No camera was found.';
export const absent_microphone = () => 'No microphone was found.';
export const busy_both = () => 'Another program is using the camera and the microphone. Close it, then try again.';
export const busy_camera = () => 'Another program is using the camera. Close it, then try again.';
export const busy_microphone = () => 'Another program is using the microphone. Close it, then try again.';
export const insecure_devices = () =>
  'This page was not opened over a secure connection, so the browser gives it no camera and no microphone. Open it with https.';
export const failed_both = () => 'The camera and the microphone could not be started.';
export const failed_camera = () => 'The camera could not be started.';
export const failed_microphone = () => 'The microphone could not be started.';

// In the call.
export const recording_mark = () => 'Recording';
export const recording_began = () => 'This meeting is being recorded.';
export const consent_question = () => 'May you be recorded? Until you agree, your voice and your pictures are left out.';
export const consent_agree = () => 'Record me';
export const consent_refuse = () => 'Leave me out';
export const consent_refused = () => 'Recording, without you';
export const consent_failed = () => 'Your answer did not reach the server. Try again.';
export const recording_ended = () => 'The recording has ended.';
export const call_title = () => 'Meeting';
export const call_people = () => 'People in the meeting';
export const call_controls = () => 'Meeting controls';
export const call_count = (p: { count: number }) => count(p.count, `${p.count} person`, `${p.count} people`);
export const call_reconnecting = () => 'The connection was lost. Reconnecting…';
export const call_reconnecting_hint = () => 'You will be back without doing anything.';
export const call_reconnected = () => 'You are connected again.';
export const call_alone = () => 'You are the first one here.';
export const call_alone_hint = () => 'Send the link to those you want to meet.';
export const call_sound_blocked = () => 'The browser is holding back the sound.';
export const call_sound_start = () => 'Turn on sound';
export const mic_turn_off = () => 'Turn off microphone';
export const mic_turn_on = () => 'Turn on microphone';
export const camera_turn_off = () => 'Turn off camera';
export const camera_turn_on = () => 'Turn on camera';
export const share_start = () => 'Share your screen';
export const share_stop = () => 'Stop sharing your screen';
export const share_failed = () => 'The screen could not be shared.';
export const sharing_now = () => 'You are sharing your screen.';
export const invite = () => 'Invite others: copy the link';
export const invite_short = () => 'Invite';
export const invite_copy = () => 'Copy the link';
export const invite_copied = () => 'Link copied';
export const invite_failed = () => 'The browser did not allow copying. Copy the address of this page instead.';
export const leave = () => 'Leave the meeting';
export const leave_short = () => 'Leave';
export const microphone_short = () => 'Microphone';
export const camera_short = () => 'Camera';
export const share_short = () => 'Share';
export const settings_short = () => 'Settings';
export const settings = () => 'Camera and sound settings';
export const settings_done = () => 'Done';
export const dismiss = () => 'Dismiss';

// A person's tile.
export const tile_you = (p: { name: string }) => `${p.name} (you)`;
export const tile_screen = (p: { name: string }) => `${p.name}’s screen`;
export const tile_screen_own = () => 'Your screen';
export const tile_muted = () => 'microphone off';
export const tile_speaking = () => 'speaking';
export const tile_weak = () => 'weak connection';
export const tile_lost = () => 'connection lost';
export const nameless = () => 'Guest';

// Said by screen readers.
export const joined = (p: { name: string }) => `${p.name} joined.`;
export const left = (p: { name: string }) => `${p.name} left.`;
export const joined_several = (p: { names: string[] }) => `${list.format(p.names)} joined.`;
export const left_several = (p: { names: string[] }) => `${list.format(p.names)} left.`;
export const joined_many = (p: { count: number }) => count(p.count, 'One person joined.', `${p.count} people joined.`);
export const left_many = (p: { count: number }) => count(p.count, 'One person left.', `${p.count} people left.`);

// After the call, and when joining fails.
export const after_left = () => 'You have left the meeting';
export const after_left_body = () => 'Closed it by mistake? The link still works.';
export const after_removed = () => 'You were removed from the meeting';
export const after_removed_body = () => 'Someone who runs this meeting has removed you.';
export const after_ended = () => 'The meeting has ended';
export const after_ended_body = () => 'It was closed for everyone.';
export const after_elsewhere = () => 'You joined from somewhere else';
export const after_elsewhere_body = () => 'This meeting is now open in another window or on another device of yours.';
export const rejoin = () => 'Join again';
export const error_room_full = () => 'This meeting is full';
export const error_room_full_body = () => 'No more people can come in at the moment. Try again when someone has left.';
export const error_draining = () => 'The server is about to restart';
export const error_draining_body = () => 'It takes no new people for now. Try again in a minute.';
export const error_bad_name = () => 'This name cannot be used. Type another one.';
export const error_not_allowed = () => 'You cannot join this meeting';
export const error_not_allowed_body = () => 'The link may be wrong or no longer valid. Ask whoever invited you for a new one.';
export const error_unreachable = () => 'The server cannot be reached';
export const error_unreachable_body = () => 'Check your internet connection, then try again.';
export const error_media = () => 'No connection for sound and picture';
export const error_media_body = () =>
  'The server answers, but your network lets neither sound nor picture through. Another network, or a mobile phone’s, may work.';
export const error_other = () => 'Joining did not work';
export const error_other_body = () => 'Something went wrong on the server. Try again; if it stays so, tell the people who run it.';
