// SPDX-License-Identifier: EUPL-1.2
/** What a view may know of a call: plain values, replaced as a whole at each change. */
import type { Consent } from '../consent.ts';
import type { DeviceProblem } from '../devices/media.ts';
import type { JoinRefusal } from '../join.ts';

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
  connection: 'good' | 'weak' | 'lost';
  camera: Picture | undefined;
}

export interface Screen {
  id: string;
  /** Who shares it. */
  identity: string;
  name: string;
  isLocal: boolean;
  picture: Picture;
}

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
  microphone: Switch;
  camera: Switch;
  screen: Switch;
  /** The last switch that failed, until it is dismissed or works. */
  problem: { source: Source; problem: DeviceProblem } | undefined;
}
