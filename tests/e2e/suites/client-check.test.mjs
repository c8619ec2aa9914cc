// SPDX-License-Identifier: EUPL-1.2
// The page that checks a device and its network, with a real call of the browser to itself by way of the house.server.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { button, openHouse } from '../support/visitors.mjs';

const house = openHouse();

/** Each line of the page, by its title: verdict and text. */
const lines = ({ page }) =>
  page.evaluate(() =>
    Object.fromEntries(
      [...document.querySelectorAll('.steps li')].map((line) => {
        const verdict = line.querySelector('.verdict').textContent;
        const title = line.querySelector('h2').textContent.replace(verdict, '').trim();
        return [title, { verdict, text: line.textContent }];
      }),
    ),
  );

async function checked(options) {
  const person = await house.visitors.someone('/check', options);
  await button(person, 'Start the check').click();
  await button(person, 'Check again').waitFor({ timeout: 90_000 });
  return person;
}

describe('the check', () => {
  it('calls itself by way of the server and says what it saw', async () => {
    const ada = await checked();
    const seen = await lines(ada);
    assert.equal(Object.keys(seen).length, 10, Object.keys(seen).join());
    for (const title of ['Browser', 'Secure connection', 'Camera', 'Microphone', 'Connection for messages', 'Direct way (UDP)', 'Way through strict networks (TCP)']) {
      assert.equal(seen[title]?.verdict, 'Works', `${title}: ${seen[title]?.text}`);
    }
    const call = seen['A call by way of the server'];
    assert.match(call.text, /picture and the tone came back, encrypted from end to end\. Connecting took [\d,]+ ms/);
    const [, up, down] = /Sent: ([\d,]+) kbit\/s\. Received: ([\d,]+) kbit\/s/.exec(seen['Quality of the line'].text);
    for (const rate of [up, down]) assert.ok(Number(rate.replace(',', '')) > 100, seen['Quality of the line'].text);
  });

  it('gives a report to copy that holds nothing of the person', async () => {
    const ada = await checked();
    const report = await ada.page.locator('pre').textContent();
    await button(ada, 'Copy the report').click();
    await ada.page.getByText('Copied.').waitFor();
    assert.equal(await ada.page.evaluate(() => navigator.clipboard.readText()), report);
    assert.match(report, /Chromium \d+ \(Linux\)/);
    assert.equal(report.match(/^\[[^\]]+\] /gm).length, 10, report);
    const devices = await ada.page.evaluate(async () => (await navigator.mediaDevices.enumerateDevices()).flatMap(({ label, deviceId }) => [label, deviceId]));
    for (const secret of devices.filter((each) => each.length > 3)) assert.ok(!report.includes(secret), `${secret} is in the report`);
    assert.doesNotMatch(report, /\d+\.\d+\.\d+\.\d+|\/r\/|#k=|eyJ/);
  });

  it('without camera and microphone the call is tried all the same', async () => {
    const seen = await lines(await checked({ devices: false }));
    assert.equal(seen.Camera.verdict, 'Does not work');
    assert.match(seen.Camera.text, /blocked the camera/);
    assert.match(seen['A call by way of the server'].text, /picture and the tone came back/);
  });

  it('says so when sound and pictures don’t get through, and what to do', async () => {
    const ada = await house.visitors.someone('/');
    // As behind a firewall that lets nothing but web pages through.
    await ada.page.addInitScript(() => {
      const add = RTCPeerConnection.prototype.addIceCandidate;
      const set = RTCPeerConnection.prototype.setRemoteDescription;
      RTCPeerConnection.prototype.addIceCandidate = function (candidate) {
        return candidate?.candidate ? Promise.resolve() : add.call(this, candidate);
      };
      RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
        return set.call(this, { type, sdp: sdp.replace(/^a=candidate:.*\r\n/gm, '') });
      };
    });
    await ada.page.goto(`${house.server.url}/check`);
    await button(ada, 'Start the check').click();
    await button(ada, 'Check again').waitFor({ timeout: 120_000 });
    const seen = await lines(ada);
    assert.equal(seen['A call by way of the server'].verdict, 'Does not work');
    assert.equal(seen['Direct way (UDP)'].verdict, 'Could be better');
    assert.match(seen['Direct way (UDP)'].text, /does not get through.*allow UDP/s);
    await ada.page.getByText('Something stands in the way of meetings').waitFor();
  });
});
