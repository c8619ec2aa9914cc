// SPDX-License-Identifier: EUPL-1.2
import type { DeviceProblem } from '../devices/media.ts';
import { m } from './index.ts';

/** What is wrong with camera and microphone, as one sentence where it is the same thing. */
export function deviceWords(camera: DeviceProblem | undefined, microphone: DeviceProblem | undefined): string[] {
  if (camera === 'insecure' || microphone === 'insecure') return [m.insecure_devices()];
  if (camera !== undefined && camera === microphone) return [BOTH[camera]()];
  const words: string[] = [];
  if (camera !== undefined) words.push(CAMERA[camera]());
  if (microphone !== undefined) words.push(MICROPHONE[microphone]());
  return words;
}

const BOTH = {
  denied: () => m.denied_both(),
  absent: () => m.absent_both(),
  busy: () => m.busy_both(),
  insecure: () => m.insecure_devices(),
  failed: () => m.failed_both(),
};
const CAMERA = {
  denied: () => m.denied_camera(),
  absent: () => m.absent_camera(),
  busy: () => m.busy_camera(),
  insecure: () => m.insecure_devices(),
  failed: () => m.failed_camera(),
};
const MICROPHONE = {
  denied: () => m.denied_microphone(),
  absent: () => m.absent_microphone(),
  busy: () => m.busy_microphone(),
  insecure: () => m.insecure_devices(),
  failed: () => m.failed_microphone(),
};
