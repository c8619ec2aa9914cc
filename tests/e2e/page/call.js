// SPDX-License-Identifier: EUPL-1.2
// A page that calls with the published livekit-client and answers the tests' questions. It shows seven colour bars
// and plays a tone, and tells what of another's bars and tone it sees and hears.
import { ConnectionState, Room, RoomEvent, Track } from 'livekit-client';
import { answer, barsTrack, measureBars, measureTone, shown, toneTrack, until } from './media.js';
import { encryption, sharing } from './share.js';

let room;
const events = [];
const data = [];
/** When the mark of a recording came and went. */
const marks = [];
const note = (name, detail) => events.push({ at: performance.now(), name, detail });

// The peer connections, for getStats: the library keeps them to itself.
const connections = [];
const Original = window.RTCPeerConnection;
let leftOut;
let onlyRelay;
window.RTCPeerConnection = class extends Original {
  constructor(configuration, ...rest) {
    super(throughRelay(configuration), ...rest);
    connections.push(this);
  }

  setConfiguration(configuration) {
    super.setConfiguration(throughRelay(configuration));
  }

  async createOffer(...parameters) {
    this.leaveOut();
    return super.createOffer(...parameters);
  }

  async createAnswer(...parameters) {
    this.leaveOut();
    return super.createAnswer(...parameters);
  }

  /** Leaves a codec out of what this page can receive. */
  leaveOut() {
    if (!leftOut) return;
    const rest = RTCRtpReceiver.getCapabilities('video').codecs.filter((each) => each.mimeType !== leftOut);
    for (const transceiver of this.getTransceivers()) {
      if (transceiver.receiver.track.kind === 'video' && !transceiver.stopped) transceiver.setCodecPreferences(rest);
    }
  }

  async setRemoteDescription(description) {
    return super.setRemoteDescription({ type: description.type, sdp: await behindNetwork(description.sdp) });
  }

  async addIceCandidate(candidate) {
    if (!window.portBehindNetwork) return super.addIceCandidate(candidate);
  }
};

/** A test may leave nothing but one of the relay's addresses, known by how it begins and ends: `turns:` and `tcp`. */
function throughRelay(configuration) {
  if (!onlyRelay) return configuration;
  const [scheme, transport] = onlyRelay;
  const fits = (url) => url.startsWith(scheme) && url.endsWith(`transport=${transport}`);
  const iceServers = (configuration?.iceServers ?? []).map((server) => ({ ...server, urls: [server.urls].flat().filter(fits) }));
  return { ...configuration, iceServers: iceServers.filter((server) => server.urls.length > 0), iceTransportPolicy: 'relay' };
}

/** A test may put a network of its own before the server (`window.portBehindNetwork`): then the only candidate is its. */
async function behindNetwork(sdp) {
  if (!window.portBehindNetwork) return sdp;
  const lines = [];
  for (const line of sdp.split('\r\n')) {
    const [, before, port, after] = /^(a=candidate:\S+ 1 udp \d+ 127\.0\.0\.1) (\d+) (typ host.*)$/i.exec(line) ?? [];
    if (port) lines.push(`${before} ${await window.portBehindNetwork(Number(port))} ${after}`);
    else if (!line.startsWith('a=candidate:')) lines.push(line);
  }
  return lines.join('\r\n');
}

function watch() {
  const names = ['Connected', 'Reconnecting', 'SignalReconnecting', 'Reconnected', 'Disconnected',
    'TrackSubscribed', 'TrackUnsubscribed', 'TrackPublished', 'TrackMuted', 'TrackUnmuted',
    'ParticipantConnected', 'ParticipantDisconnected', 'ParticipantActive', 'LocalTrackPublished',
    'ParticipantMetadataChanged', 'ParticipantAttributesChanged', 'ConnectionQualityChanged'];
  for (const name of names) {
    room.on(RoomEvent[name], (...parameters) => note(name, parameters.map((each) => each?.identity ?? each?.sid ?? String(each)).join(' ')));
  }
  room.on(RoomEvent.ActiveSpeakersChanged, (speakers) => note('ActiveSpeakersChanged', speakers.map((each) => each.identity).join(' ')));
  room.on(RoomEvent.RecordingStatusChanged, (recording) => marks.push({ recording, at: Date.now() }));
  room.on(RoomEvent.DataReceived, (payload, from) => data.push({ from: from?.identity, text: new TextDecoder().decode(payload) }));
}

const publication = (identity, source) => room.remoteParticipants.get(identity)?.getTrackPublication(source);
// By the track itself: after a fresh start another one has the same sid.
const elements = new Map();
function element(track) {
  if (!elements.has(track)) {
    const made = track.attach();
    made.muted = true;
    made.play?.().catch(() => {});
    document.body.append(made);
    elements.set(track, made);
  }
  return elements.get(track);
}

/** A session over HTTP (RFC 9725), published or watched. */
let session;

async function http(method, url, headers = {}, body) {
  return fetch(url, { method, body, headers: { authorization: `Bearer ${session.token}`, ...headers } });
}

/** Offers what `connection` has, and takes the answer. */
async function offerOverHttp(connection, url, token) {
  session = { connection, token };
  await connection.setLocalDescription();
  const response = await http('POST', url, { 'content-type': 'application/sdp' }, connection.localDescription.sdp);
  if (response.status !== 201) throw new Error(`${response.status}: ${await response.text()}`);
  session.url = new URL(response.headers.get('location'), url).href;
  session.tag = response.headers.get('etag');
  await connection.setRemoteDescription({ type: 'answer', sdp: await response.text() });
  return { url: session.url, tag: session.tag };
}

/** The value of the first such line. */
const line = (sdp, name) => new RegExp(`^a=${name}:(\\S+)`, 'm').exec(sdp)[1];

const calls = {
  /** Publishes over HTTP, without any SDK. */
  async whip({ url, token, width = 640, height = 360, fps = 10, hertz = 440, simulcast = false, codec }) {
    const connection = new RTCPeerConnection();
    const layers = [['q', 4], ['h', 2], ['f', 1]].map(([rid, scaleResolutionDownBy]) => ({ rid, scaleResolutionDownBy }));
    const pictures = connection.addTransceiver(barsTrack(width, height, fps), { direction: 'sendonly', ...(simulcast ? { sendEncodings: layers } : {}) });
    if (codec) pictures.setCodecPreferences(RTCRtpSender.getCapabilities('video').codecs.filter(({ mimeType }) => mimeType === codec));
    connection.addTransceiver(await toneTrack(hertz), { direction: 'sendonly' });
    return offerOverHttp(connection, url, token);
  },

  /** Watches over HTTP. */
  async whep({ url, token }) {
    const connection = new RTCPeerConnection();
    const video = Object.assign(document.createElement('video'), { muted: true, autoplay: true });
    connection.addTransceiver('video', { direction: 'recvonly' });
    connection.addTransceiver('audio', { direction: 'recvonly' });
    const tracks = {};
    connection.addEventListener('track', ({ track }) => {
      tracks[track.kind] = track;
      if (track.kind === 'video') video.srcObject = new MediaStream([track]);
      else document.body.append(Object.assign(document.createElement('audio'), { muted: true, autoplay: true, srcObject: new MediaStream([track]) }));
    });
    document.body.append(video);
    const answer = await offerOverHttp(connection, url, token);
    Object.assign(session, { video, tracks });
    return answer;
  },

  async watchedBars({ milliseconds = 20000 } = {}) {
    return measureBars(session.video, 'whom it watches', 2, milliseconds);
  },

  async watchedTone({ near, milliseconds = 20000 }) {
    return measureTone(session.tracks.audio, `${near} Hz`, milliseconds, near);
  },

  /** Starts ICE anew by PATCH. Gives the former and the new tag, and ours and theirs of the credentials. */
  async restartOverHttp() {
    const { connection, tag } = session;
    const former = connection.remoteDescription.sdp;
    connection.restartIce();
    await connection.setLocalDescription();
    const ours = connection.localDescription.sdp;
    const fragment = `a=ice-ufrag:${line(ours, 'ice-ufrag')}\r\na=ice-pwd:${line(ours, 'ice-pwd')}\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n`;
    const response = await http('PATCH', session.url, { 'content-type': 'application/trickle-ice-sdpfrag', 'if-match': '*' }, fragment);
    if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
    const theirs = await response.text();
    let answer = former.replaceAll(/a=ice-ufrag:\S+/g, `a=ice-ufrag:${line(theirs, 'ice-ufrag')}`);
    answer = answer.replaceAll(/a=ice-pwd:\S+/g, `a=ice-pwd:${line(theirs, 'ice-pwd')}`);
    await connection.setRemoteDescription({ type: 'answer', sdp: answer });
    session.tag = response.headers.get('etag');
    await until('the connection after the restart', () => connection.iceConnectionState === 'connected' || connection.iceConnectionState === 'completed');
    return { former: tag, tag: session.tag };
  },

  async trickleOverHttp({ tag }) {
    const candidate = 'a=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 4000 typ host\r\n';
    const headers = { 'content-type': 'application/trickle-ice-sdpfrag', 'if-match': tag ?? session.tag };
    return (await http('PATCH', session.url, headers, candidate)).status;
  },

  async endOverHttp() {
    const response = await http('DELETE', session.url);
    await until('the end of the connection', () => ['disconnected', 'failed', 'closed'].includes(session.connection.connectionState));
    return response.status;
  },

  async connect({ url, token, options = {}, connectOptions = {}, withoutCodec, passphrase, relay }) {
    leftOut = withoutCodec;
    onlyRelay = relay;
    const encrypted = passphrase ? { encryption: await encryption(passphrase) } : {};
    room = new Room({ adaptiveStream: false, dynacast: false, ...encrypted, ...options });
    watch();
    shared.watch();
    if (passphrase) await room.setE2EEEnabled(true);
    const start = performance.now();
    await room.connect(url, token, connectOptions);
    room.engine.on('signalResumed', () => note('SignalResumed'));
    return { milliseconds: performance.now() - start, sid: room.localParticipant.sid };
  },

  async publishBars({ width = 640, height = 360, fps = 15, ...options }) {
    const track = barsTrack(width, height, fps);
    const published = await room.localParticipant.publishTrack(track, { source: Track.Source.Camera, name: 'bars', ...options });
    return published.trackSid;
  },

  async publishTone({ hertz = 440, ...options }) {
    const track = await toneTrack(hertz);
    const published = await room.localParticipant.publishTrack(track, { source: Track.Source.Microphone, dtx: false, ...options });
    return published.trackSid;
  },

  /** The colours of the seven bars as they arrive, and the picture's size. */
  async seen({ identity, atLeast = 2, milliseconds = 20000 }) {
    const track = await until(`a video track of ${identity}`, () => publication(identity, Track.Source.Camera)?.track, milliseconds);
    return measureBars(element(track), identity, atLeast, milliseconds);
  },

  /** Joins, and tells when the first picture of `identity` was decoded: milliseconds since the call to join. */
  async joinAndSee({ identity, ...parameters }) {
    const start = performance.now();
    const joining = calls.connect(parameters);
    const picture = new Promise((done) => {
      const look = () => {
        const track = publication(identity, Track.Source.Camera)?.track;
        if (!track) return void setTimeout(look, 2);
        const video = document.createElement('video');
        video.muted = true;
        video.requestVideoFrameCallback(() => done(performance.now() - start));
        track.attach(video);
        document.body.append(video);
        elements.set(track, video);
      };
      joining.then(look, done);
    });
    const joined = await joining;
    return { joined: joined.milliseconds, seen: await picture };
  },

  /** How many pictures of `identity` have been shown so far. */
  async frames({ identity }) {
    return shown(element(publication(identity, Track.Source.Camera).track));
  },

  /** The strongest frequency that arrives from `identity`, and its level in dB. */
  async heard({ identity, milliseconds = 20000 }) {
    const track = await until(`an audio track of ${identity}`, () => publication(identity, Track.Source.Microphone)?.track, milliseconds);
    element(track);
    return measureTone(track.mediaStreamTrack, identity, milliseconds);
  },

  /** Whether silence arrives from `identity` now. */
  async silent({ identity }) {
    return publication(identity, Track.Source.Microphone)?.isMuted ?? true;
  },

  async setMuted({ source, muted }) {
    const published = room.localParticipant.getTrackPublication(source);
    await (muted ? published.mute() : published.unmute());
  },

  async setQuality({ identity, quality }) {
    publication(identity, Track.Source.Camera).setVideoQuality(quality);
  },

  async setEnabled({ identity, enabled }) {
    publication(identity, Track.Source.Camera).setEnabled(enabled);
  },

  async setDimensions({ identity, width, height }) {
    publication(identity, Track.Source.Camera).setVideoDimensions({ width, height });
  },

  async setSubscribed({ identity, subscribed }) {
    publication(identity, Track.Source.Camera).setSubscribed(subscribed);
  },

  async setAttributes(attributes) {
    await room.localParticipant.setAttributes(attributes);
  },

  async say({ text, reliable = true }) {
    await room.localParticipant.publishData(new TextEncoder().encode(text), { reliable });
  },

  async data() {
    return data;
  },

  async textsOf({ identity }) {
    return data.filter((each) => each.from === identity).map((each) => each.text);
  },

  async untilData({ from, text }) {
    return until(`"${text}" of ${from}`, () => data.find((each) => each.from === from && each.text === text));
  },

  async untilEvent({ name, detail = '', after = 0, milliseconds = 20000 }) {
    return until(`${name} ${detail}`, () => events.find((each) => each.at > after && each.name === name && String(each.detail).includes(detail)), milliseconds);
  },

  async events() {
    return events;
  },

  async now() {
    return performance.now();
  },

  async state() {
    return {
      state: room.state,
      recording: room.isRecording,
      marks,
      connected: room.state === ConnectionState.Connected,
      participants: [...room.remoteParticipants.values()].map((each) => ({
        identity: each.identity, sid: each.sid, kind: each.kind, attributes: each.attributes, metadata: each.metadata,
        tracks: [...each.trackPublications.values()].map((track) => ({ sid: track.trackSid, source: track.source, muted: track.isMuted, mime: track.mimeType })),
      })),
    };
  },

  /** Cuts the signalling socket as a network would, without telling the library. */
  async dropSocket() {
    const at = performance.now();
    await room.simulateScenario('signal-reconnect');
    return at;
  },

  async simulate({ scenario, argument }) {
    const at = performance.now();
    await room.simulateScenario(scenario, argument);
    return at;
  },

  /** What the transports and the streams came to. */
  async stats() {
    const out = { transports: [], inbound: [], outbound: [], pairs: [] };
    for (const connection of connections) {
      if (connection.connectionState === 'closed') continue;
      const report = await connection.getStats();
      const all = [...report.values()];
      for (const each of all) {
        const codec = report.get(each.codecId)?.mimeType;
        if (each.type === 'transport') out.transports.push({ dtls: each.tlsVersion, cipher: each.dtlsCipher, srtp: each.srtpCipher, state: each.dtlsState });
        if (each.type === 'inbound-rtp') out.inbound.push({ kind: each.kind, codec, width: each.frameWidth, height: each.frameHeight, decoded: each.framesDecoded, received: each.packetsReceived, bytes: each.bytesReceived, lost: each.packetsLost, fec: each.fecPacketsReceived ?? 0, fecBytes: each.fecBytesReceived ?? 0, fecDiscarded: each.fecPacketsDiscarded ?? 0 });
        if (each.type === 'outbound-rtp') out.outbound.push({ kind: each.kind, codec, rid: each.rid, width: each.frameWidth, sent: each.packetsSent, mode: each.scalabilityMode, active: each.active, retransmitted: each.retransmittedPacketsSent, target: each.targetBitrate });
        if (each.type === 'candidate-pair' && each.nominated && each.state === 'succeeded') out.pairs.push({ protocol: report.get(each.localCandidateId)?.protocol, type: report.get(each.localCandidateId)?.candidateType, relay: report.get(each.localCandidateId)?.relayProtocol, remote: report.get(each.remoteCandidateId)?.address, tcp: report.get(each.localCandidateId)?.tcpType, rtt: each.currentRoundTripTime });
      }
    }
    return out;
  },

  async leave() {
    await room?.disconnect();
  },
};

const shared = sharing({ room: () => room, until, note });
Object.assign(calls, shared.calls);

answer(calls, events);
