// SPDX-License-Identifier: EUPL-1.2
// The look of whoever runs the server, as Chromium shows it: what the configuration says, what SIGHUP changes, and what it refuses.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { Server } from '../support/server.mjs';
import { Visitors, join } from '../support/visitors.mjs';

const mark = (colour) => `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 60 30" width="60" height="30"><rect width="60" height="30" fill="${colour}"/></svg>`;
const FILES = { 'mark.svg': mark('#e4007f'), 'other.svg': mark('#00a651'), 'none.svg': '<p>no picture</p>' };
const GUESTS = '[rooms]\nguests = true\nguest_room_chars = 10\n[branding]\n';
const VISIO = 'name = "Visio"\nlogo = "mark.svg"\naccent = "#7a1f3d"\naccent_dark = "#f3a6c0"\nimprint = "https://example.org/legal"\n';
const TREFF = 'name = "Treff"\nlogo = "other.svg"\naccent = "#00594f"\n';

let server, visitors;
before(async () => {
  server = await Server.configured(GUESTS + VISIO, '127.0.0.1:0', FILES);
  visitors = await Visitors.of(server);
});
after(async () => {
  await visitors?.close();
  await server?.stop();
});
afterEach(() => visitors.leave());

/** What a visitor sees of it on the first page. */
async function look(options) {
  const { page } = await visitors.someone('/', options);
  const primary = page.getByRole('button', { name: 'New meeting' });
  await primary.waitFor();
  return page.evaluate(async (button) => {
    const picture = document.querySelector('header img');
    const pen = document.createElement('canvas').getContext('2d');
    if (picture) {
      await picture.decode();
      pen.drawImage(picture, 0, 0);
    }
    const { backgroundColor, color } = getComputedStyle(button);
    return {
      title: document.title,
      name: document.querySelector('header').textContent.trim(),
      lead: document.querySelector('.lead').textContent,
      mark: picture && { size: [picture.naturalWidth, picture.naturalHeight], colour: [...pen.getImageData(20, 10, 1, 1).data], height: picture.clientHeight },
      button: { backgroundColor, color },
      links: [...document.querySelectorAll('footer a')].map((link) => link.getAttribute('href')),
    };
  }, await primary.elementHandle());
}

const asVisio = ({ title, name, lead, mark, button, links }) => {
  assert.deepEqual([title, name], ['Visio', 'Visio']);
  assert.match(lead, /Visio is a video meeting service/);
  assert.doesNotMatch(lead, /Parvis/);
  assert.deepEqual(mark, { size: [60, 30], colour: [0xe4, 0x00, 0x7f, 255], height: 30 });
  assert.deepEqual(button, { backgroundColor: 'rgb(122, 31, 61)', color: 'rgb(255, 255, 255)' });
  assert.deepEqual(links, ['https://example.org/legal', '/accessibility', '/licences.txt']);
};

describe('the look of whoever runs the server', () => {
  it('is on the first page, before a call and in it: name, mark, colours and links', async () => {
    asVisio(await look());
    const { button } = await look({ colorScheme: 'dark' });
    assert.deepEqual(button, { backgroundColor: 'rgb(243, 166, 192)', color: 'rgb(0, 0, 0)' });
    const ada = await visitors.someone(`/r/${'brand'.padEnd(26, '0')}`);
    await ada.page.getByLabel('Your name').waitFor();
    assert.match(await ada.page.title(), / · Visio$/);
    assert.equal(await ada.page.getByRole('button', { name: 'Join now' }).evaluate((own) => getComputedStyle(own).backgroundColor), 'rgb(122, 31, 61)');
    await join(ada, 'Ada');
    assert.match(await ada.page.title(), / · Visio$/);
  });

  it('changes by SIGHUP for whoever opens a page, and not under those who have one open', async () => {
    const early = await visitors.someone('/');
    await early.page.getByRole('button', { name: 'New meeting' }).waitFor();
    assert.match(await server.reload(GUESTS + TREFF), /changed="branding\.accent, .*branding\.name"/);
    const { title, mark, button, links } = await look();
    assert.deepEqual([title, mark.colour, links], ['Treff', [0x00, 0xa6, 0x51, 255], ['/accessibility', '/licences.txt']]);
    assert.equal(button.backgroundColor, 'rgb(0, 89, 79)');
    // Nobody said a colour for dark pages: it is made of the other, so that it stands out there.
    const dark = await look({ colorScheme: 'dark' });
    assert.notEqual(dark.button.backgroundColor, button.backgroundColor);
    assert.equal(await early.page.title(), 'Visio');
    await server.reload(GUESTS);
    const built = await look();
    assert.deepEqual([built.title, built.mark], ['Parvis', null]);
    await server.reload(GUESTS + VISIO);
    asVisio(await look());
  });

  it('is refused with a message where nobody could read it, and then nothing changes', async () => {
    for (const [right, wrong, message] of [
      ['#7a1f3d', '#fff9c4', /parvis\.toml:7: branding\.accent: #fff9c4 stands out from a light page by 1\.1 to 1, .*use a darker one/],
      ['mark.svg', 'none.svg', /parvis\.toml:6: branding\.logo: \S+none\.svg is no PNG, JPEG, WebP or SVG picture; save it as one of these/],
      ['https://', 'javascript://', /parvis\.toml:9: branding\.imprint: "javascript:\S+ does not begin with https:\/\/; use one such as/],
      ['Visio', 'V'.repeat(65), /parvis\.toml:5: branding\.name: .*choose another/],
    ]) {
      const line = await server.reload(GUESTS + VISIO.replace(right, wrong));
      assert.match(line, /the configuration stays as it was/);
      assert.match(line, message);
    }
    asVisio(await look());
  });
});
