// SPDX-License-Identifier: EUPL-1.2
// A page as an application makes it of the published components for React: a whole conference of one component. Its
// camera, its screen and its microphone are what other pages publish; all else is as it comes.
import { LiveKitRoom, VideoConference } from '@livekit/components-react';
import styles from '@livekit/components-styles';
import { DisconnectReason } from 'livekit-client';
import { createRoot } from 'react-dom/client';
import { answer, barsTrack, measureBars, measureTone, toneTrack, until } from './media.js';

const events = [];
let hertz = 440;

const pictures = () => barsTrack(320, 180, 10);
navigator.mediaDevices.getUserMedia = async ({ audio, video }) =>
  new MediaStream([...(audio ? [await toneTrack(hertz)] : []), ...(video ? [pictures()] : [])]);
navigator.mediaDevices.getDisplayMedia = async () => new MediaStream([pictures()]);

document.head.append(Object.assign(document.createElement('style'), { textContent: styles }));
const root = createRoot(document.body.appendChild(document.createElement('main')));

const note = (name) => (detail) => events.push({ name, detail: detail?.message ?? detail });
const left = (reason) => note('Disconnected')(DisconnectReason[reason]);

/** Where somebody is shown, by the name that is written there. */
const tile = (name) => [...document.querySelectorAll('.lk-participant-tile')].find((each) => each.querySelector('.lk-participant-name')?.textContent === name);

const calls = {
  /** Joins, with a tone of its own. */
  async connect({ url, token, tone }) {
    hertz = tone;
    root.render(
      <LiveKitRoom
        serverUrl={url} token={token} connect audio video data-lk-theme="default" style={{ height: '100vh' }}
        onConnected={note('Connected')} onDisconnected={left} onError={note('Error')} onMediaDeviceFailure={note('MediaDeviceFailure')}
      >
        <VideoConference />
      </LiveKitRoom>,
    );
    await until('the conference', () => events.some(({ name }) => name === 'Connected'));
  },

  /** The colours of the bars where `name` is shown. */
  async seen({ name, milliseconds = 20000 }) {
    const video = await until(`the picture of ${name}`, () => tile(name)?.querySelector('video'), milliseconds);
    return measureBars(video, name, 2, milliseconds);
  },

  /** The tone that comes out of the page. */
  async heard({ near, milliseconds = 20000 }) {
    const track = await until('sound', () => document.querySelector('audio')?.srcObject?.getAudioTracks()[0], milliseconds);
    return measureTone(track, 'the others', milliseconds, near);
  },

  /** Who is shown, whether as muted, and whether larger than the others. */
  async shown() {
    return [...document.querySelectorAll('.lk-participant-tile')].map((each) => ({
      name: each.querySelector('.lk-participant-name').textContent,
      muted: each.querySelector('.lk-participant-metadata [data-lk-muted=true]') !== null,
      large: each.closest('.lk-focus-layout') !== null && each.closest('.lk-carousel') === null,
    }));
  },

  /** The messages of the chat: who wrote each, as far as it says, and what. */
  async messages() {
    return [...document.querySelectorAll('.lk-chat-entry')].map((each) => ({
      from: each.querySelector('.lk-participant-name')?.textContent,
      own: each.dataset.lkMessageOrigin === 'local',
      text: each.querySelector('.lk-message-body').textContent,
    }));
  },

  async events() {
    return events;
  },

  async leave() {
    root.unmount();
  },
};

answer(calls, events);
