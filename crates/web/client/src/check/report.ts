// SPDX-License-Identifier: EUPL-1.2
/**
 * The check as plain text, to be sent to whoever helps. It holds verdicts and figures only: no name, no address of the network,
 * no name of a device, no room and no key. Nothing else is put into it, so nothing has to be taken out of it.
 */
import { m } from '../messages/index.ts';
import { type CheckState, STEPS, TITLES, TRIED, VERDICTS } from './steps.ts';

/** @param at shown to the hour: enough to compare with a log, and no more. */
export function reportOf(state: CheckState, app: string, at: Date): string {
  const hour = `${at.toISOString().slice(0, 13)}:00Z`;
  const lines = [m.check_report_head({ app, time: hour }), ''];
  for (const id of STEPS) {
    const outcome = state.outcomes[id];
    if (outcome === undefined) continue;
    lines.push(`[${VERDICTS[outcome.verdict]()}] ${TITLES[id]()}`, `  ${TRIED[id]()}`, `  ${outcome.seen()}`);
    if (outcome.advice) lines.push(`  → ${outcome.advice()}`);
  }
  return `${lines.join('\n')}\n`;
}
