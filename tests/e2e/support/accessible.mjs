// SPDX-License-Identifier: EUPL-1.2
// Two who test accessibility: axe, which knows the rules, and someone who has nothing but a keyboard.
import assert from 'node:assert/strict';
import { AxeBuilder } from '@axe-core/playwright';

const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'RGAAv4', 'EN-301-549'];

/** Axe on one view after the other, and what came of it. */
export class Axe {
  version = '';
  #views = new Map();

  /** All faults of a page as it is now. */
  async faults(page) {
    return (await this.#analyse(page)).violations;
  }

  /** Looks at a view in one of its states. A fault fails the test, with what and where. */
  async look(page, view, state) {
    // A transition that is under way has colours of its own. One without an end is how the page looks.
    await page.evaluate(() => Promise.all(document.getAnimations().filter((animation) => animation.effect?.getTiming().iterations !== Infinity).map((animation) => animation.finished.catch(() => {}))));
    const { passes, violations, incomplete } = await this.#analyse(page);
    const sum = this.#views.get(view) ?? { passed: new Set(), faults: 0, unsure: new Set() };
    for (const { id } of passes) sum.passed.add(id);
    for (const { id } of incomplete) sum.unsure.add(id);
    sum.faults += violations.length;
    this.#views.set(view, sum);
    const said = violations.map(({ id, help, nodes }) => `${id}: ${help}\n${nodes.map((node) => `  ${node.target.join(' ')} ${node.html.slice(0, 160)}\n    ${node.failureSummary.replaceAll('\n', ' ')}`).join('\n')}`);
    assert.deepEqual(said, [], `${view}, ${state}`);
  }

  /** For the statement: rules kept, rules broken, and rules that a person must decide, by view. */
  results() {
    return [...this.#views]
      .map(([view, { passed, faults, unsure }]) => ({ view, passed: passed.size, faults, unsure: unsure.size }))
      .sort((a, b) => (a.view < b.view ? -1 : 1));
  }

  async #analyse(page) {
    const found = await new AxeBuilder({ page }).withTags(RULES).setLegacyMode().analyze();
    this.version = found.testEngine.version;
    return found;
  }
}

/** The most steps of Tab that anything may be away. */
const FAR = 80;

/** Someone with a keyboard and nothing else, who must see at each step where they are. */
export class Keyboard {
  constructor(page) {
    this.page = page;
  }

  press(key) {
    return this.page.keyboard.press(key);
  }

  /** What has the focus: its name, whether it can be seen that it has, and whether it can be seen at all. */
  here() {
    return this.page.evaluate(() => {
      const element = document.activeElement;
      if (element === null || element === document.body) return { name: '', kind: 'none', seen: true };
      const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(element);
      const ringed = (outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2) || boxShadow !== 'none';
      const { left, right, top, bottom } = element.getBoundingClientRect();
      const inView = right > 0 && bottom > 0 && left < innerWidth && top < innerHeight;
      // WCAG 2.4.11: not wholly behind something that stays in its place.
      const points = [[0.5, 0.5], [0.1, 0.5], [0.9, 0.5], [0.5, 0.15], [0.5, 0.85]];
      const uncovered = points.some(([x, y]) => {
        const top_ = document.elementFromPoint(left + (right - left) * x, top + (bottom - top) * y);
        return top_ !== null && (element.contains(top_) || top_.contains(element) || (element.labels && [...element.labels].some((label) => label.contains(top_))));
      });
      const labelled = element.getAttribute('aria-labelledby')?.split(' ').map((id) => document.getElementById(id)?.textContent).join(' ');
      const name = element.getAttribute('aria-label') ?? labelled ?? element.labels?.[0]?.textContent ?? element.textContent ?? '';
      return {
        name: name.trim().replace(/\s+/g, ' '),
        kind: element.closest('dialog, [role=dialog]') ? 'dialog' : element.tagName.toLowerCase(),
        heading: /^h\d$/i.test(element.tagName) || element.tagName === 'MAIN',
        seen: ringed && inView && uncovered,
      };
    });
  }

  /** Tab by Tab until what has this name has the focus. At each step the focus must be in sight. */
  async reach(name) {
    const way = [];
    for (let step = 0; step < FAR; step++) {
      const here = await this.here();
      if (here.name === name) return this.#inSight(here);
      await this.press('Tab');
      const now = await this.here();
      way.push(now.name);
      if (now.kind !== 'none') this.#inSight(now);
    }
    assert.fail(`“${name}” is not reached by Tab. On the way: ${way.join(' → ')}`);
  }

  /** Once round by Tab: the names in their order. Whoever comes back to the first has been caught nowhere. */
  async around({ within } = {}) {
    const names = [];
    let first;
    for (let step = 0; step < FAR; step++) {
      await this.press('Tab');
      const here = await this.here();
      if (here.kind === 'none') {
        // The browser's own bar is between the last and the first.
        if (names.length > 0) return names;
        continue;
      }
      if (within !== undefined) assert.equal(here.kind, within, `the focus left the ${within} to “${here.name}”`);
      this.#inSight(here);
      if (here.name === first) return names;
      first ??= here.name;
      names.push(here.name);
    }
    return assert.fail(`no way round: ${names.join(' → ')}`);
  }

  #inSight(here) {
    if (!here.heading) assert.ok(here.seen, `the focus on “${here.name}” cannot be seen`);
  }
}
