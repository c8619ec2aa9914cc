// SPDX-License-Identifier: EUPL-1.2
/** A small window above all others: of the meeting where the browser can, or of one picture. */
import type { Picture } from '../room/state.ts';

interface DocumentPip {
  requestWindow(options: { width: number; height: number }): Promise<Window>;
}

export type PipKind = 'document' | 'video' | 'none';

export function pipKind(): PipKind {
  if ('documentPictureInPicture' in window) return 'document';
  return document.pictureInPictureEnabled === true ? 'video' : 'none';
}

/** Opens the window, dressed as this page is. To be called from a press of a button, or the browser refuses. */
export async function openPipWindow(width = 360, height = 300): Promise<Window> {
  const { documentPictureInPicture } = window as unknown as { documentPictureInPicture: DocumentPip };
  const opened = await documentPictureInPicture.requestWindow({ width, height });
  const root = document.documentElement;
  const there = opened.document.documentElement;
  there.lang = root.lang;
  there.dir = root.dir;
  for (const { name, value } of root.attributes) {
    // The policy allows no inline style; colours of one's own are set below.
    if (name !== 'style') there.setAttribute(name, value);
  }
  for (let i = 0; i < root.style.length; i++) {
    const name = root.style.item(i);
    there.style.setProperty(name, root.style.getPropertyValue(name));
  }
  // Links rather than rules: the policy holds there too.
  for (const sheet of document.querySelectorAll('link[rel="stylesheet"], head > style')) {
    opened.document.head.append(sheet.cloneNode(true));
  }
  return opened;
}

/** One picture in the browser's own small window. Resolves when it is seen; `onclose` when it is closed again. */
export async function openVideoPip(picture: Picture, onclose: () => void): Promise<() => void> {
  const video = document.createElement('video');
  video.muted = true;
  video.playsInline = true;
  const detach = picture.attach(video);
  const end = () => {
    detach();
    onclose();
  };
  try {
    await video.play();
    await video.requestPictureInPicture();
  } catch (error) {
    detach();
    throw error;
  }
  video.addEventListener('leavepictureinpicture', end, { once: true });
  return () => {
    if (document.pictureInPictureElement === video) void document.exitPictureInPicture().catch(() => undefined);
  };
}
