// SPDX-License-Identifier: EUPL-1.2
// What an operator sees: the dashboards, rules and alerts of configs/, in Debian's own Prometheus, over a real call that is
// recorded. Each panel shows something, each alert reads what is there, and what is caused fires.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { selfSigned } from '../support/certificate.mjs';
import { eventually } from '../support/check.mjs';
import { HERTZ, SMALL, Stage } from '../support/call.mjs';
import { CONFIGS, Collector, Monitoring, PROMTOOL, metricsPage } from '../support/monitoring.mjs';
import { above, draw, figure } from '../support/pictures.mjs';
import { begin, configuration, recording, until } from '../support/recordings.mjs';
import { Server, token } from '../support/server.mjs';

const METRICS = join(CONFIGS, '../docs/metrics.md');
const RUNBOOKS = join(CONFIGS, '../docs/runbooks');
const PICTURES = join(CONFIGS, '../docs/pictures/dashboards');
/** The suite about storage reads them. */
const ONLY_WITH_STORAGE = ['parvis_recordings_to_upload', 'parvis_recording_uploads_failed_total'];
const TLS = '[media]\naddresses = ["127.0.0.1"]\n[tls]\ncertificate = "chain.pem"\nkey = "key.pem"\n';

/** Traces of all joins and recordings, and webhooks to where nobody listens, which are given up soon. */
const watched = (collector) => configuration(`[traces]\nendpoint = "${collector.endpoint}"\nsample_percent = 100`)
  .replace('urls = []', 'urls = ["http://127.0.0.1:9/"]\nallow_internal = ["127.0.0.1:9"]\ndeadline = "1s"');

const dashboards = () => readdirSync(join(CONFIGS, 'grafana')).map((file) =>
  JSON.parse(readFileSync(join(CONFIGS, 'grafana', file), 'utf8')));

const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

describe('rules', () => {
  it('are right, and each alert fires when it should and not otherwise', () => {
    const folder = join(CONFIGS, 'prometheus');
    execFileSync(PROMTOOL, ['check', 'config', join(folder, 'prometheus.yml')], { stdio: 'pipe' });
    execFileSync(PROMTOOL, ['test', 'rules', join(folder, 'tests/alerts.yml')], { stdio: 'pipe' });
  });

  it('have a test and a page for each alert, and no page for none', () => {
    const read = (path) => readFileSync(join(CONFIGS, 'prometheus', path), 'utf8');
    const rules = read('rules/parvis-alerts.yml');
    const alerts = [...rules.matchAll(/^ *- alert: (\w+)$/gm)].map((found) => found[1]);
    assert.ok(alerts.length > 15, `${alerts}`);
    const tests = read('tests/alerts.yml');
    for (const alert of alerts) assert.ok(tests.includes(alert) || tests.includes('ParvisCertificate.*'), `no test of ${alert}`);
    const pages = [...rules.matchAll(/runbook: docs\/runbooks\/(\S+)$/gm)].map((found) => found[1]);
    assert.equal(pages.length, alerts.length, 'each alert names its page');
    for (const page of pages) assert.ok(existsSync(join(RUNBOOKS, page)), page);
    const there = readdirSync(RUNBOOKS).filter((file) => file !== 'README.md');
    assert.deepEqual(there.sort(), [...new Set(pages)].sort());
    for (const file of there) {
      const named = /^Alerts: (.*)$/m.exec(readFileSync(join(RUNBOOKS, file), 'utf8'))[1].match(/\w+/g);
      for (const alert of named) assert.ok(alerts.includes(alert), `${file} is about ${alert}, which is no alert`);
    }
  });
});

describe('a picture of a dashboard', () => {
  it('says figures with their units', () => {
    const said = [[0.25, 'percentunit'], [0.0123, 's'], [259_200, 's'], [90, 's'], [0, 's'], [1_536, 'bytes'], [2_500_000, 'bps'], [42.125, 'pps'], [4, 'short'], [NaN, 'short']]
      .map(([value, unit]) => figure(value, unit));
    assert.deepEqual(said, ['25 %', '12.3 ms', '3 d', '1.5 min', '0 s', '1.5 KiB', '2.5 Mbit/s', '42.1 p/s', '4', '–']);
    assert.deepEqual([0, 0.3, 1, 4.2, 70].map(above), [1, 0.5, 1, 5, 100]);
  });
});

describe('a server with a recorded call', () => {
  let stage, tls, monitoring, at, collector, room, id, since;
  before(async () => {
    collector = await Collector.start();
    stage = await Stage.over(await Server.configured(watched(collector)));
    tls = await Server.configured(TLS, '127.0.0.1:0', selfSigned());
    at = await Promise.all([stage.server, tls].map(async (server) => (await server.metrics()).address));
    monitoring = await Monitoring.of(...at);
    // What had happened before the first look would be no rise.
    await eventually('both servers to be looked at', async () => (await monitoring.query('parvis_participants')).length === 2);
    since = Date.now() / 1000;
    room = stage.room();
    const ada = await stage.join('chromium', room, 'ada');
    const bob = await stage.join('python', room, 'bob');
    await ada.ask('publishBars', SMALL);
    await ada.ask('publishTone', { hertz: HERTZ });
    await bob.ask('seen', { identity: 'ada' });
    const late = await stage.join('python', room, 'late');
    await late.ask('seen', { identity: 'ada' });
    id = await begin(stage.server, room);
    await until(stage.server, room, id, 'EGRESS_ACTIVE');
    // Somebody whose token says nothing of the sort.
    const refused = token(room, 'eve', {}, 'eve', { name: 'main', secret: 'guessed' });
    const answer = await fetch(`${stage.server.url}/rtc?access_token=${refused}`);
    assert.equal(answer.status, 401);
    await fetch(`${tls.url}/livez`).catch(() => null);
  });
  after(async () => {
    await monitoring?.close();
    await tls?.stop();
    await stage?.close();
    await collector?.close();
  });

  it('shows something in each panel of each dashboard', async () => {
    const all = dashboards();
    assert.deepEqual(all.map((each) => each.title.replace('Parvis: ', '')).sort(), [
      'media quality', 'overview', 'recording and streaming', 'rooms and meetings', 'security', 'shards and packets', 'the machine',
    ]);
    const targets = all.flatMap((board) => board.panels.flatMap((panel) => (panel.targets ?? []).map(({ expr }) => ({
      where: `${board.title}, ${panel.title}`,
      expression: expr.replaceAll('$instance', '.*').replaceAll('$__rate_interval', '2m'),
    }))));
    assert.ok(targets.length > 80, `${targets.length}`);
    for (const { where, expression } of targets) {
      await eventually(`${where} to show something: ${expression}`, async () => {
        const found = await monitoring.query(expression);
        // A share of nothing is no figure.
        return found.length > 0 && found.some(({ value }) => Number.isFinite(value));
      });
    }
  });

  it('is drawn as its dashboards would show it', async () => {
    const write = process.env.PARVIS_DASHBOARDS === 'write';
    // A picture for people is one of a whole minute.
    if (write) await wait(Math.max(0, since + 60 - Date.now() / 1000) * 1000);
    const from = Math.floor(since);
    const drawn = async (board) => {
      const to = Math.floor(Date.now() / 1000);
      return draw(board, (expression) => monitoring.range(expression, from, to), { from, to, interval: '10s' });
    };
    if (write) mkdirSync(PICTURES, { recursive: true });
    for (const board of dashboards()) {
      let { picture, panels } = await drawn(board);
      // What clients report now and then is there after two reports.
      for (let tries = 0; tries < 30 && panels.some(({ lines }) => lines === 0); tries++) {
        await wait(1000);
        ({ picture, panels } = await drawn(board));
      }
      assert.equal(panels.length, board.panels.filter(({ type }) => type !== 'row').length, board.title);
      assert.deepEqual(panels.filter(({ lines }) => lines === 0).map(({ title }) => title), [], board.title);
      for (const { title } of panels) assert.ok(picture.includes(`>${title.replaceAll('&', '&amp;')}</text>`), title);
      const name = board.uid.replace('parvis-', '');
      if (write) writeFileSync(join(PICTURES, `${name}.svg`), picture);
      else assert.ok(existsSync(join(PICTURES, `${name}.svg`)), `no picture of ${name}: PARVIS_DASHBOARDS=write has this test draw it`);
    }
  });

  it('tells a collector what joins and recordings took, and Prometheus which', async () => {
    const steps = ['join', 'token', 'admission', 'signalling', 'connection', 'first packet', 'job', 'worker', 'start', 'first bytes'];
    for (const step of steps.filter((step) => step !== 'job')) {
      // A field of its own: number, length, and the name.
      await eventually(`the step ${step}`, () => collector.has(Buffer.from([0x2a, step.length, ...Buffer.from(step)])));
    }
    for (const name of ['parvis_participant_connect_seconds', 'parvis_subscription_start_seconds', 'parvis_recording_start_seconds']) {
      const found = await eventually(`exemplars of ${name}`, async () => {
        const all = await monitoring.exemplars(`${name}_bucket`);
        return all.length > 0 && all;
      });
      for (const { labels, value } of found) {
        assert.match(labels.trace_id, /^[0-9a-f]{32}$/);
        assert.ok(collector.has(Buffer.from(labels.trace_id, 'hex')), `${name}: a trace that nobody was told of`);
        assert.ok(Number(value) > 0 && Number(value) < 15, `${name}: ${value}`);
      }
    }
    for (const word of [room, 'ada', 'bob', 'late', 'eve', id]) {
      assert.ok(!collector.has(Buffer.from([0x0a, word.length, ...Buffer.from(word)])), `${word} is in a trace`);
    }
    // Refused at the door, and said so.
    assert.ok(collector.has('unauthorized'));
  });

  it('has each family of figures once in the newer form too', async () => {
    const accept = 'application/openmetrics-text; version=1.0.0';
    const answer = await fetch(`http://${at[0]}/metrics`, { headers: { accept } });
    assert.equal(answer.headers.get('content-type'), `${accept}; charset=utf-8`);
    const page = await answer.text();
    assert.ok(page.endsWith('\n# EOF\n'));
    const families = [...page.matchAll(/^# TYPE (\S+) /gm)].map((found) => found[1]);
    assert.deepEqual(families.filter((name, place) => families.indexOf(name) !== place), []);
    const older = (await stage.server.metrics()).page;
    const samples = (text) => new Set([...text.matchAll(/^([a-z]\w*)[{ ]/gm)].map((found) => found[1]));
    assert.deepEqual([...samples(page)].sort(), [...samples(older)].sort());
  });

  it('shows what is there, and not just something', async () => {
    const value = async (expression) => (await monitoring.query(expression))[0]?.value;
    await eventually('three people and a recorder in one room', async () =>
      await value('sum(parvis_participants)') === 4 && await value('sum(parvis_rooms)') === 1);
    assert.equal(await value('sum(parvis_recordings)'), 1);
    const connect = await value('sum(parvis_participant_connect_seconds_sum) / sum(parvis_participant_connect_seconds_count)');
    assert.ok(connect > 0 && connect < 5, `connected in ${connect} s`);
    const sent = await value('sum(rate(parvis_media_sent_packets_total[10s]))');
    assert.ok(sent > 20, `a tone for two and a recorder: ${sent} packets a second`);
    const ends = await value('parvis_edge_certificate_not_after_timestamp_seconds - time()');
    assert.ok(Math.abs(ends - 3 * 86_400) < 3_600, `the certificate ends in ${ends} s`);
  });

  it('is shown live in a terminal', () => {
    const top = (address) => execFileSync(process.env.PARVIS_SERVER,
      ['top', '--metrics', address, '--count', '1', '--every', '1'], { encoding: 'utf8', stdio: 'pipe' });
    const picture = top(at[0]);
    assert.match(picture, /^people +4 +rooms +1 +recordings +1 /, picture);
    const shards = [...picture.matchAll(/^ +\d+ +(\d+) +(\d+) +(\d+) +(\d+) /gm)].map((found) => found.slice(1).map(Number));
    assert.ok(shards.length >= 1 && shards.some(([peers, rooms, , out]) => peers >= 4 && rooms === 1 && out > 20), picture);
    assert.throws(() => top('127.0.0.1:1'), /no figures at http:\/\/127\.0\.0\.1:1\/metrics: .*metrics\.listen/);
  });

  it('has its figures on the page that lists them', async () => {
    const pages = await Promise.all([stage.server, tls].map(async (server) => (await server.metrics()).page));
    const page = metricsPage(pages);
    if (process.env.PARVIS_METRICS === 'write') writeFileSync(METRICS, page);
    assert.equal(readFileSync(METRICS, 'utf8'), page, 'docs/metrics.md is stale: PARVIS_METRICS=write has this test write it');
  });

  it('gives every rule what it reads, and none an error', async () => {
    await eventually('rules to have been evaluated', async () => (await monitoring.rules()).every((rule) => rule.health !== 'unknown'));
    for (const rule of await monitoring.rules()) assert.equal(rule.health, 'ok', `${rule.name}: ${rule.lastError}`);
    for (const rule of await monitoring.rules()) {
      const names = rule.query.match(/\b(parvis|node|instance|instance_direction|up)[a-z0-9_]*(:[a-z0-9_:]+)?\b(?=[{[ )]|$)/g) ?? [];
      const read = names.filter((name) => /_|:|^up$/.test(name));
      for (const name of read.filter((name) => !ONLY_WITH_STORAGE.includes(name))) {
        await eventually(`${name}, which ${rule.name} reads`, async () => (await monitoring.query(`count({__name__="${name}"})`)).length === 1);
      }
      if (rule.type === 'recording') {
        await eventually(`${rule.name} to say something`, async () => (await monitoring.query(rule.name)).length > 0);
      }
    }
  });

  it('raises the alert for what is done to it', async () => {
    // The certificate is one of three days: the first alert is there by itself.
    await eventually('the alert on the certificate', async () => (await monitoring.firing()).includes('ParvisCertificateEnds'));
    assert.ok(!(await monitoring.firing()).includes('ParvisDown'));
    const fires = (alert) => eventually(`the alert ${alert}`, async () => (await monitoring.firing()).includes(alert));
    // The place that was to be told of the room listens to nobody.
    await fires('ParvisWebhooksDead');
    for (let tries = 0; tries < 20; tries += 1) {
      const guessed = token(room, 'eve', {}, 'eve', { name: 'main', secret: 'guessed' });
      assert.equal((await fetch(`${stage.server.url}/rtc?access_token=${guessed}`)).status, 401);
    }
    await fires('ParvisJoinsFail');
    // Each worker that comes is killed, until no other does.
    const killed = new Set();
    await until(stage.server, room, id, 'EGRESS_ACTIVE');
    await eventually('the recording to be given up', async () => {
      const workers = spawnSync('pgrep', ['-P', String(stage.server.process.pid), 'parvis-media'], { encoding: 'utf8' }).stdout;
      for (const worker of workers.trim().split('\n').filter((pid) => pid && !killed.has(pid))) {
        killed.add(worker);
        process.kill(Number(worker), 'SIGKILL');
      }
      return (await recording(stage.server, room, id)).status === 'EGRESS_FAILED';
    }, 40_000);
    assert.ok(killed.size > 2, `${killed.size} workers came`);
    await fires('ParvisWorkersDie');
    await fires('ParvisRecordingsFail');
    await eventually('the end of its trace', () => collector.has('worker died'));
    await tls.stop();
    await eventually('the alert on a server that is down', async () => (await monitoring.firing()).includes('ParvisDown'));
    const [down] = await monitoring.query('ALERTS{alertname="ParvisDown", alertstate="firing"}');
    assert.equal(down.labels.instance, at[1], 'of that one, and not of the other');
  });
});
