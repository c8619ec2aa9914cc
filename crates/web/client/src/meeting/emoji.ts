// SPDX-License-Identifier: EUPL-1.2
/** The reactions there are, as docs/meeting-protocol.md has them. */
export const REACTION_EMOJI = ['👍', '👏', '❤️', '😂', '😮', '🎉', '🙏', '👎'] as const;
