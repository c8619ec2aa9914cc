// SPDX-License-Identifier: EUPL-1.2
/** What a view may know of a call: plain values, replaced as a whole at each change. */
import type { Consent } from '../consent.ts';
import type { DeviceProblem } from '../devices/media.ts';
import type { Decryption } from '../e2ee/session.ts';
import type { JoinRefusal } from '../join.ts';
import type { Connection } from '../stage/quality.ts';

/** `reconnecting` has no end of its own: it goes on until it works or the user leaves. */
export type Phase = 'connecting' | 'connected' | 'reconnecting' | 'ended';

export type Ending =
  | { kind: 'left' }
  /** By someone who may. */
  | { kind: 'removed' }
  /** Closed for everyone. */
  | { kind: 'closed' }
  /** The same person came in a second time. */
  | { kind: 'elsewhere' }
  | { kind: 'refused'; refusal: Refusal };

/** `media`: signalling works, but neither sound nor picture gets through. */
export type Refusal = JoinRefusal | 'media';

/** A picture or a sound that can be shown in an element. The same track is always the same object. */
export interface Media<E extends HTMLMediaElement> {
  readonly id: number;
  /** The returned function takes it out of the element again. */
  attach(element: E): () => void;
}

export type Picture = Media<HTMLVideoElement>;
export type Sound = Media<HTMLAudioElement>;

export interface Person {
  identity: string;
  name: string;
  isLocal: boolean;
  speaking: boolean;
  muted: boolean;
  connection: Connection;
  camera: Picture | undefined;
  /** In an encrypted meeting: whether what comes from them can be decrypted. `closed`: it can't, and nothing of it plays. */
  encryption?: Decryption | undefined;
}

export interface Screen {
  id: string;
  /** Who shares it. */
  identity: string;
  name: string;
  isLocal: boolean;
  picture: Picture;
}

/** How much comes by the network: all of it; small pictures, and none of one's own; or sound alone. */
export type Saving = 'off' | 'saver' | 'audio';

export type Source = 'microphone' | 'camera' | 'screen';

/** One of the three things that the user can turn on and off. */
export interface Switch {
  on: boolean;
  /** A request is under way. */
  changing: boolean;
}

export interface RoomState {
  phase: Phase;
  ending: Ending | undefined;
  /** The user first, then by arrival. */
  people: readonly Person[];
  /** The others who are heard now, the loudest first. */
  speakers: readonly string[];
  screens: readonly Screen[];
  /** Something of this call is kept. */
  recording: boolean;
  /** Whether the user is asked to agree to that, and what the answer was. */
  consent: Consent;
  /** The last answer did not reach the server. */
  consentFailed: boolean;
  sounds: readonly Sound[];
  /** The browser plays nothing until the user has pressed something. */
  soundBlocked: boolean;
  saving: Saving;
  /** When joining is tried again, as `Date.now()` counts; undefined while a try is under way. */
  retryAt: number | undefined;
  microphone: Switch;
  camera: Switch;
  screen: Switch;
  /** The last switch that failed, until it is dismissed or works. */
  problem: { source: Source; problem: DeviceProblem } | undefined;
}
