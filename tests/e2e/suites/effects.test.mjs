// SPDX-License-Identifier: EUPL-1.2
// Another background and less noise: what arrives at the other end, what is fetched for it, and what happens where it can't be done.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { deflateSync } from 'node:zlib';
import { assertBars, assertTone, eventually } from '../support/check.mjs';
import { playInChromium, playInFirefox } from '../support/plays.mjs';
import { Server } from '../support/server.mjs';
import { Visitors, button, join } from '../support/visitors.mjs';

const ADA = 440;
const BO = 660;
/** The colour of the image that Ada picks. */
const GREEN = [20, 120, 60];

let server;
let visitors;
const firefoxes = [];
before(async () => {
  server = await Server.start();
  visitors = await Visitors.of(server, '--autoplay-policy=no-user-gesture-required');
});
after(async () => {
  await visitors?.close();
  await server?.stop();
});
// Row 47 as well: nobody's page asked anyone but its own server, and the policy was not violated.
afterEach(async () => {
  for (const each of firefoxes.splice(0)) await each.close();
  await visitors.leave();
});

const newPath = () => `/r/${randomBytes(16).toString('hex')}`;
/** What somebody chose the last time. */
const remembered = (choice) => async ({ page }) => {
  await page.evaluate((choice) => localStorage.setItem('parvis.settings', JSON.stringify(choice)), choice);
};
const heavy = (requests) => requests.filter((url) => /\.(wasm|tflite)$/.test(url)).map((url) => new URL(url).pathname.replace(/-[\w-]{8}\./, '.'));

/** An image of one colour. */
function png(width, height, colour) {
  const chunk = (name, data) => {
    const body = Buffer.concat([Buffer.from(name), data]);
    const whole = Buffer.alloc(body.length + 8);
    whole.writeUInt32BE(data.length);
    body.copy(whole, 4);
    whole.writeUInt32BE(crc(body), body.length + 4);
    return whole;
  };
  const crc = (bytes) => {
    let sum = ~0;
    for (const byte of bytes) {
      sum ^= byte;
      for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
    }
    return ~sum >>> 0;
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 2, 0, 0, 0], 8);
  const row = Buffer.concat([Buffer.from([0]), Buffer.from(Array.from({ length: width }, () => colour).flat())]);
  const data = deflateSync(Buffer.concat(Array.from({ length: height }, () => row)));
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), chunk('IHDR', head), chunk('IDAT', data), chunk('IEND', Buffer.alloc(0))]);
}

/**
 * The strongest step between two neighbouring columns at the sides of someone's picture: of a bar's edge, it is great as long as nothing
 * blurs it. The middle does not count: the network may take a bar there for a person.
 */
const sharpest = ({ page }, name) =>
  page.evaluate((name) => {
    const video = [...document.querySelectorAll('li')].find((li) => li.textContent.includes(name))?.querySelector('video:not(.mirrored)');
    if (!video?.videoWidth) return undefined;
    const [width, height] = [160, 90];
    const context = Object.assign(document.createElement('canvas'), { width, height }).getContext('2d');
    context.drawImage(video, 0, 0, width, height);
    const { data } = context.getImageData(0, 30, width, 20);
    const column = (x, colour) => Array.from({ length: 20 }, (_, y) => data[(y * width + x) * 4 + colour]).reduce((sum, each) => sum + each) / 20;
    let most = 0;
    for (let x = 1; x < width; x++) if (x < 45 || x > 115) for (let colour = 0; colour < 3; colour++) most = Math.max(most, Math.abs(column(x, colour) - column(x - 1, colour)));
    return most;
  }, name);

/** Looks at someone's picture until it has been as wished for a few looks on end. */
async function seenAs(person, name, what, wish) {
  let inRow = 0;
  let last;
  await eventually(`${name}'s picture ${what}`, async () => {
    last = await sharpest(person, name);
    inRow = last !== undefined && wish(last) ? inRow + 1 : 0;
    return inRow >= 3;
  }, 40_000).catch((error) => {
    throw new Error(`${error.message}; the last step was ${last}`);
  });
}
const BLURRED = (step) => step < 40;
const SHARP = (step) => step > 75;

async function settings({ page }, change) {
  await button({ page }, 'Settings').first().click();
  const dialog = page.locator('dialog[open]');
  await change(dialog);
  await dialog.getByRole('button', { name: 'Done' }).click();
}

describe('effects: a background', () => {
  it('blurs from the first picture on where it is remembered; nothing heavy comes before it is chosen', async () => {
    const path = newPath();
    const asked = [];
    const bo = await playInChromium(visitors, path, 'Bo', BO, async ({ page }) => page.on('request', (request) => asked.push(request.url())));
    const ada = await playInChromium(visitors, path, 'Ada', ADA, remembered({ background: 'blur' }));
    // From her first picture on: none of them is sharp.
    let pictures = 0;
    await eventually('ten looks at her', async () => {
      const step = await sharpest(bo, 'Ada');
      if (step !== undefined && step > 0) {
        pictures++;
        assert.ok(!SHARP(step), `a picture with a step of ${step} was sent`);
      }
      return pictures >= 10;
    }, 40_000);
    await seenAs(bo, 'Ada', 'is blurred', BLURRED);
    assertBars(await ada.ask('seen', { name: 'Bo' }), 'Ada');
    assert.deepEqual(heavy(asked), []);
    assertTone(await bo.ask('heard', { near: ADA }), ADA, 'Bo');
  });

  it('is an image from the disk, which stays there; and it can be taken away', async () => {
    const path = newPath();
    const bo = await playInChromium(visitors, path, 'Bo', BO);
    const asked = [];
    const sent = [];
    const ada = await playInChromium(visitors, path, 'Ada', ADA, async ({ page }) =>
      page.on('request', (request) => {
        asked.push(request.url());
        if (request.method() !== 'GET') sent.push(request.postDataBuffer()?.length ?? 0);
      }),
    );
    assertBars(await bo.ask('seen', { name: 'Ada' }), 'Bo');
    assert.deepEqual(heavy(asked), []);
    const before = sent.length;
    await settings(ada, (dialog) => dialog.locator('input[type=file]').setInputFiles({ name: 'wall.png', mimeType: 'image/png', buffer: png(640, 360, GREEN) }));
    await eventually('her wall', async () => {
      const { bars } = await bo.ask('seen', { name: 'Ada', atLeast: 1 });
      return bars.every((bar) => bar.every((each, i) => Math.abs(each - GREEN[i]) < 50));
    }, 40_000);
    assert.deepEqual(heavy(asked).sort(), ['/assets/kernels.wasm', '/assets/selfie_segmentation_landscape.tflite']);
    assert.deepEqual(sent.slice(before).filter((bytes) => bytes > 2_000), [], 'nothing as large as an image left');

    await settings(ada, (dialog) => dialog.getByLabel('Background', { exact: true }).selectOption('none'));
    await seenAs(bo, 'Ada', 'is her own again', SHARP);
    assertBars(await bo.ask('seen', { name: 'Ada' }), 'Bo');
    // A camera that was off comes back with what was chosen meanwhile.
    await button(ada, 'Turn off camera').click();
    await settings(ada, (dialog) => dialog.getByLabel('Background', { exact: true }).selectOption('own'));
    await button(ada, 'Turn on camera').click();
    await eventually('her wall again', async () => {
      const { bars } = await bo.ask('seen', { name: 'Ada', atLeast: 1 });
      return bars.every((bar) => bar.every((each, i) => Math.abs(each - GREEN[i]) < 50));
    }, 40_000);
  });

  it('leaves a person in the picture as they are', async () => {
    const path = newPath();
    const bo = await playInChromium(visitors, path, 'Bo', BO);
    const ada = await visitors.someone('/');
    await remembered({ background: 'hills' })(ada);
    await ada.page.addInitScript(() => {
      navigator.mediaDevices.getUserMedia = async (wish) => {
        const stream = new MediaStream();
        if (!wish.video) return stream;
        const [width, height] = [320, 180];
        const canvas = Object.assign(document.createElement('canvas'), { width, height });
        const c = canvas.getContext('2d');
        const oval = (colour, x, y, rx, ry) => {
          c.fillStyle = colour;
          c.beginPath();
          c.ellipse(x * width, y * height, rx * width, ry * height, 0, 0, 2 * Math.PI);
          c.fill();
        };
        let count = 0;
        setInterval(() => {
          c.fillStyle = 'rgb(205 210 205)';
          c.fillRect(0, 0, width, height);
          oval('rgb(40 60 110)', 0.5, 1.02, 0.25, 0.42);
          oval('rgb(60 40 25)', 0.5, 0.3, 0.1, 0.18);
          oval('rgb(224 172 140)', 0.5, 0.4, 0.09, 0.2);
          oval('rgb(40 30 30)', 0.465, 0.37, 0.012, 0.018);
          oval('rgb(40 30 30)', 0.535, 0.37, 0.012, 0.018);
          oval('rgb(170 70 70)', 0.5, 0.49, 0.035, 0.015);
          c.fillStyle = 'white';
          c.fillRect((count++ * 8) % width, 0, 8, 4);
        }, 100);
        stream.addTrack(canvas.captureStream(10).getVideoTracks()[0]);
        return stream;
      };
    });
    await ada.page.goto(server.url + path);
    await join(ada, 'Ada');
    const colours = () =>
      bo.page.evaluate(() => {
        const video = [...document.querySelectorAll('li')].find((li) => li.textContent.includes('Ada'))?.querySelector('video:not(.mirrored)');
        if (!video?.videoWidth) return undefined;
        const context = Object.assign(document.createElement('canvas'), { width: 100, height: 100 }).getContext('2d');
        context.drawImage(video, 0, 0, 100, 100);
        const at = (x, y) => [...context.getImageData(x, y, 1, 1).data].slice(0, 3);
        return { cheek: at(46, 46), coat: at(50, 90), wall: at(10, 20) };
      });
    const near = (found, wanted, within) => found.every((each, i) => Math.abs(each - wanted[i]) < within);
    let last;
    await eventually('her face before hills', async () => {
      last = await colours();
      // The wall was light grey; the evening sky is a dark blue there.
      return last !== undefined && near(last.cheek, [224, 172, 140], 50) && near(last.coat, [40, 60, 110], 50) && last.wall.every((each) => each < 150) && last.wall[2] > last.wall[1];
    }, 40_000).catch((error) => {
      throw new Error(`${error.message}: ${JSON.stringify(last)}`);
    });
  });

  it('works in an encrypted meeting, and without the streams that only Chromium has', async () => {
    const path = `${newPath()}#k=${randomBytes(32).toString('base64url')}`;
    const bo = await playInChromium(visitors, path, 'Bo', BO);
    await playInChromium(visitors, path, 'Ada', ADA, async (person) => {
      await remembered({ background: 'blur' })(person);
      await person.page.addInitScript(() => {
        delete window.MediaStreamTrackProcessor;
        delete window.MediaStreamTrackGenerator;
      });
    });
    await seenAs(bo, 'Ada', 'is blurred', BLURRED);
  });

  it('that can’t be begun leaves the camera off, and says why', async () => {
    const path = newPath();
    const bo = await playInChromium(visitors, path, 'Bo', BO);
    const ada = await playInChromium(visitors, path, 'Ada', ADA, async (person) => {
      await remembered({ background: 'blur' })(person);
      await person.page.route('**/*.tflite', (route) => route.abort());
    });
    await ada.page.getByText('Your background could not be changed, so your camera stays off.').first().waitFor();
    await assert.rejects(bo.ask('seen', { name: 'Ada', milliseconds: 4_000 }), /no picture|waited/);
    // With no background chosen she is seen as she is.
    await settings(ada, (dialog) => dialog.getByLabel('Background', { exact: true }).selectOption('none'));
    await button(ada, 'Turn on camera').click();
    assertBars(await bo.ask('seen', { name: 'Ada' }), 'Bo');
    for (const each of ada.wrongs.splice(0)) if (!/Failed to load resource|failed to destroy processor|net::ERR_FAILED/.test(each)) ada.wrongs.push(each);
  });

  it('that is too slow takes the camera with it: nothing of the room is seen before she says so', async () => {
    const path = newPath();
    const bo = await playInChromium(visitors, path, 'Bo', BO);
    const ada = await playInChromium(visitors, path, 'Ada', ADA, async (person) => {
      await remembered({ background: 'blur' })(person);
      // A device that becomes slow when the test says so: to the effect each moment takes half a second from then on.
      const slow = '{ const now = performance.now.bind(performance); let more = 0; let slow = false; new BroadcastChannel("slow").onmessage = () => (slow = true); performance.now = () => now() + (slow ? (more += 500) : 0); }';
      await person.page.route(/\/assets\/painter-[^/]*\.js$/, async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, body: `${slow}\n${await response.text()}` });
      });
    });
    await seenAs(bo, 'Ada', 'is blurred', BLURRED);
    let most = 0;
    let watching = true;
    const watch = (async () => {
      for (; watching; await bo.page.waitForTimeout(20)) most = Math.max(most, (await sharpest(bo, 'Ada')) ?? 0);
    })();
    await ada.page.evaluate(() => new BroadcastChannel('slow').postMessage(true));
    await ada.page.getByText('so your camera was turned off. Nobody sees what is behind you.').first().waitFor({ timeout: 40_000 });
    await ada.page.getByRole('button', { name: 'Turn on camera', exact: true }).waitFor();
    await assert.rejects(bo.ask('seen', { name: 'Ada', milliseconds: 3_000 }), /no picture|waited/);
    watching = false;
    await watch;
    assert.ok(!SHARP(most), `a picture with a step of ${most} was sent`);

    await ada.page.getByRole('button', { name: 'Turn on camera without a background' }).first().click();
    assertBars(await bo.ask('seen', { name: 'Ada' }), 'Bo');
    // For this time: what she had chosen is remembered.
    assert.equal(await ada.page.evaluate(() => JSON.parse(localStorage.getItem('parvis.settings')).background), 'blur');
  });

  it('is not offered where the browser can’t, which is said instead', async () => {
    const ada = await visitors.someone('/');
    await ada.page.addInitScript(() => {
      delete window.OffscreenCanvas;
      delete window.AudioWorkletNode;
    });
    await ada.page.goto(server.url + newPath());
    await ada.page.getByText('This browser cannot change what is behind you.').waitFor();
    await ada.page.getByText('This browser cannot suppress noise by itself.').waitFor();
    assert.equal(await ada.page.getByLabel('Background', { exact: true }).count(), 0);
    assert.equal(await ada.page.getByLabel('Suppress noise').count(), 0);
  });

  it('blurs in Firefox as well, from the first picture on', async () => {
    const path = newPath();
    const bo = await playInChromium(visitors, path, 'Bo', BO);
    const ada = await playInFirefox(server, path, 'Ada', ADA, { background: 'blur' });
    firefoxes.push(ada);
    let pictures = 0;
    await eventually('ten looks at her', async () => {
      const step = await sharpest(bo, 'Ada');
      if (step === undefined || step === 0) return false;
      assert.ok(!SHARP(step), `a picture with a step of ${step} was sent`);
      return ++pictures >= 10;
    }, 40_000);
    // Her bars are still told apart: it is no empty picture.
    await seenAs(bo, 'Ada', 'is blurred', (step) => step > 3 && BLURRED(step));
    assertBars(await ada.ask('seen', { name: 'Bo' }), 'Ada');
    // What prepares her page is run in the browser’s empty one as well, which has no devices.
    assert.deepEqual(ada.wrongs.filter((each) => !each.includes('navigator.mediaDevices is undefined')), []);
  });
});

describe('effects: noise', () => {
  it('is quieter by more than ten decibels at the other end once it is suppressed', async () => {
    const path = newPath();
    const bo = await playInChromium(visitors, path, 'Bo', BO);
    const ada = await visitors.someone('/');
    await ada.page.addInitScript(() => {
      navigator.mediaDevices.getUserMedia = async (wish) => {
        const stream = new MediaStream();
        if (!wish.audio) return stream;
        const context = new AudioContext({ sampleRate: 48000 });
        await context.resume();
        const buffer = new AudioBuffer({ length: 48000 * 5, sampleRate: 48000 });
        const samples = buffer.getChannelData(0);
        // As a fan sounds: louder the deeper.
        for (let i = 1; i < samples.length; i++) samples[i] = samples[i - 1] * 0.98 + (Math.random() * 2 - 1) * 0.02;
        const noise = new AudioBufferSourceNode(context, { buffer, loop: true });
        const out = new MediaStreamAudioDestinationNode(context);
        noise.connect(out);
        noise.start();
        stream.addTrack(out.stream.getAudioTracks()[0]);
        return stream;
      };
    });
    await ada.page.goto(server.url + path);
    await join(ada, 'Ada');
    // The mean over two seconds, in decibels below full scale.
    const level = () =>
      bo.page.evaluate(async () => {
        const tracks = [...document.querySelectorAll('audio')].flatMap((audio) => audio.srcObject?.getAudioTracks() ?? []);
        if (tracks.length === 0) return -Infinity;
        const context = new AudioContext();
        await context.resume();
        const analyser = new AnalyserNode(context, { fftSize: 2048 });
        new MediaStreamAudioSourceNode(context, { mediaStream: new MediaStream(tracks) }).connect(analyser);
        const samples = new Float32Array(2048);
        let [sum, count] = [0, 0];
        for (let i = 0; i < 40; i++) {
          await new Promise((done) => setTimeout(done, 50));
          analyser.getFloatTimeDomainData(samples);
          for (const each of samples) sum += each * each;
          count += samples.length;
        }
        await context.close();
        return 10 * Math.log10(sum / count);
      });
    let before = -Infinity;
    await eventually('her noise', async () => (before = await level()) > -35, 40_000);
    await settings(ada, (dialog) => dialog.getByLabel('Suppress noise').check());
    let after = 0;
    await eventually('less of it', async () => (after = await level()) < before - 10, 40_000).catch((error) => {
      throw new Error(`${error.message}: ${before} dB, then ${after} dB`);
    });
    await settings(ada, (dialog) => dialog.getByLabel('Suppress noise').uncheck());
    await eventually('all of it again', async () => (await level()) > before - 3, 40_000);
  });

  it('is suppressed from the start where that is remembered, with one file fetched for it', async () => {
    const path = newPath();
    const bo = await playInChromium(visitors, path, 'Bo', BO);
    const asked = [];
    await playInChromium(visitors, path, 'Ada', ADA, async (person) => {
      await remembered({ noise: true })(person);
      person.page.on('request', (request) => asked.push(request.url()));
    });
    await eventually('the worklet', async () => heavy(asked).length > 0, 20_000);
    assert.deepEqual(heavy(asked), ['/assets/rnnoise.wasm']);
    assertBars(await bo.ask('seen', { name: 'Ada' }), 'Bo');
  });
});
