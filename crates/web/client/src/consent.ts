// SPDX-License-Identifier: EUPL-1.2
/** Asks the server whether it wants the user's consent to being recorded, and gives it the answer. */
import type { Ticket } from './join.ts';

/** `undefined`: nobody is asked here. */
export type Consent = 'asked' | 'given' | 'refused' | undefined;

const TIMEOUT_MS = 15_000;

/** How it stands with the user's consent; after `answer`, where there is one. */
export async function requestConsent(ticket: Ticket, answer?: boolean, fetcher: typeof fetch = fetch): Promise<Consent> {
  const post = {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${ticket.token}` },
    body: JSON.stringify({ recording: answer }),
  };
  const response = await fetcher(`/api/rooms/${encodeURIComponent(ticket.room)}/consent`, {
    ...(answer === undefined ? { headers: { authorization: `Bearer ${ticket.token}` } } : post),
    cache: 'no-store',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  const body = (await response.json()) as Record<string, unknown>;
  if (body.asked !== true) return undefined;
  if (typeof body.recording !== 'boolean') return 'asked';
  return body.recording ? 'given' : 'refused';
}
