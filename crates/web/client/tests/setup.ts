// SPDX-License-Identifier: EUPL-1.2
/** Every test reads English, as a page does whose catalogue has come. */
import { allTexts, useLanguage } from '../src/messages/index.ts';

await useLanguage('en');
await allTexts();
