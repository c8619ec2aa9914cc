// SPDX-License-Identifier: EUPL-1.2
/** The messages of the language in use. There is one so far. */
export * as m from './en.ts';
