// SPDX-License-Identifier: EUPL-1.2
// From the press of the button to the first picture of somebody else.

/** Notes the press, and when the first picture of another person was shown. Runs in the page. */
function watchForPictures() {
  let pressed;
  addEventListener('click', (event) => {
    if (event.target.closest('button[type=submit]')) pressed = event.timeStamp;
  }, true);
  window.whenSeen = new Promise((done) => {
    const known = new WeakSet();
    const look = () => {
      for (const video of document.querySelectorAll('li[data-identity] video')) {
        // One's own is mirrored.
        if (known.has(video) || video.classList.contains('mirrored')) continue;
        known.add(video);
        video.requestVideoFrameCallback(() => done(performance.now() - pressed));
      }
    };
    new MutationObserver(look).observe(document, { childList: true, subtree: true });
  });
}

/** Somebody with a browser that has nothing of the client yet, on the page before the call, all of which is there. */
export async function atTheDoor(visitors, path, name, options = {}) {
  const context = await visitors.browser.newContext({
    permissions: ['camera', 'microphone'], locale: 'en-GB', serviceWorkers: 'block', viewport: { width: 1280, height: 720 }, ...options,
  });
  const page = await context.newPage();
  const fetched = [];
  page.on('request', (request) => {
    const { pathname } = new URL(request.url());
    if (request.resourceType() === 'document' || /^\/assets\/.*\.(js|css)$/.test(pathname)) fetched.push(pathname);
  });
  await page.addInitScript(watchForPictures);
  await page.goto(visitors.server.url + path, { waitUntil: 'networkidle' });
  await page.getByLabel('Your name').fill(name);
  // As people do who look at themselves first.
  await page.waitForFunction(() => [...document.querySelectorAll('video')].some((video) => video.videoWidth > 0 && video.currentTime > 0));
  return { context, page, fetched };
}

/** In the call. */
export async function enter({ page }) {
  await page.getByRole('button', { name: 'Join now' }).click();
  await page.getByRole('button', { name: 'Leave the meeting' }).waitFor();
}

/** Milliseconds from the press to the first picture, and what the browser asked for until then. */
export async function firstPicture(visitors, path, name) {
  const person = await atTheDoor(visitors, path, name);
  try {
    await person.page.getByRole('button', { name: 'Join now' }).click();
    const ms = await person.page.evaluate(() => window.whenSeen);
    return { ms, fetched: [...new Set(person.fetched)] };
  } finally {
    await person.context.close();
  }
}
