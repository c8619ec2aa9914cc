// SPDX-License-Identifier: EUPL-1.2
/**
 * One way between the browser and the server at a time: of all addresses that the server offers, only those of one kind are
 * left. What connects then, went that way.
 */

export type Path = 'udp' | 'tcp' | 'relay';

/** An SDP without the candidates that do not fit; for `relay` all stay, since there the browser's own side is what is bounded. */
export function onlyPath(sdp: string, path: Path): string {
  return sdp
    .split('\r\n')
    .filter((line) => !line.startsWith('a=candidate:') || fits(line, path))
    .join('\r\n');
}

/** Whether a candidate, as a line of SDP or as it is sent by itself, is of this way. */
export function fits(candidate: string, path: Path): boolean {
  if (path === 'relay') return true;
  // candidate:FOUNDATION COMPONENT TRANSPORT PRIORITY ADDRESS PORT typ TYPE (RFC 8839, section 5.1)
  return candidate.split(' ')[2]?.toLowerCase() === path;
}

/** The servers that may be asked for this way: a relay is a way of its own. */
export function withServers(configuration: RTCConfiguration, path: Path): RTCConfiguration {
  if (path !== 'relay') return { ...configuration, iceServers: [] };
  return { ...configuration, iceTransportPolicy: 'relay' };
}

export function offersRelay(configuration: RTCConfiguration): boolean {
  return (configuration.iceServers ?? []).flatMap(({ urls }) => urls).some((url) => /^turns?:/.test(url));
}

/** What was seen of a connection: whether the server offered any address of this kind at all. */
export interface Sight {
  offered: boolean;
}

/** Runs something during which every peer connection is bound to one way. Such runs must follow each other. */
export async function along<T>(path: Path, run: () => Promise<T>): Promise<{ value: T } & Sight> {
  const Original = globalThis.RTCPeerConnection;
  const sight: Sight = { offered: false };
  globalThis.RTCPeerConnection = class extends Original {
    constructor(configuration: RTCConfiguration = {}) {
      super(withServers(configuration, path));
      this.#look(configuration);
    }

    override setConfiguration(configuration: RTCConfiguration = {}): void {
      super.setConfiguration(withServers(configuration, path));
      this.#look(configuration);
    }

    // The older forms with callbacks are called by nobody here.
    override async setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
      const sdp = onlyPath(description.sdp ?? '', path);
      if (path !== 'relay' && /^a=candidate:/m.test(sdp)) sight.offered = true;
      return super.setRemoteDescription({ type: description.type, sdp });
    }

    override async addIceCandidate(candidate?: RTCIceCandidateInit | null): Promise<void> {
      const text = candidate?.candidate ?? '';
      if (text !== '' && !fits(text, path)) return;
      if (text !== '' && path !== 'relay') sight.offered = true;
      return super.addIceCandidate(candidate ?? undefined);
    }

    #look(configuration: RTCConfiguration): void {
      if (path === 'relay' && offersRelay(configuration)) sight.offered = true;
    }
  };
  try {
    return { value: await run(), ...sight };
  } catch (error) {
    throw new PathError(error, sight.offered);
  } finally {
    globalThis.RTCPeerConnection = Original;
  }
}

export class PathError extends Error {
  override readonly name = 'PathError';

  constructor(
    override readonly cause: unknown,
    readonly offered: boolean,
  ) {
    super(String(cause));
  }
}
