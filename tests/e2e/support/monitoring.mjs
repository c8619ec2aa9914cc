// SPDX-License-Identifier: EUPL-1.2
// Debian's own Prometheus, with the configuration and the rules that we hand to operators, in front of servers of a test.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from './check.mjs';
import { freePort } from './targets.mjs';

export const CONFIGS = new URL('../../../configs/', import.meta.url).pathname;
const HOME = process.env.PARVIS_PROMETHEUS;
export const PROMTOOL = `${HOME}/promtool`;

/** Replaces what must be there, all of it. */
function put(text, from, to) {
  assert.ok(text.includes(from), `no ${from} in what is handed out`);
  return text.replaceAll(from, to);
}

/** A program that ends with the test. */
function run(program, flags) {
  const child = spawn(program, flags, { stdio: ['ignore', 'ignore', 'pipe'] });
  const said = [];
  child.stderr.on('data', (data) => said.push(String(data)));
  const exited = new Promise((done) => child.once('exit', done));
  return { child, exited, said };
}

/** The page that lists all figures of these pages of servers: name, kind, labels, meaning. */
export function metricsPage(pages) {
  const found = new Map();
  for (const page of pages) {
    for (const [, name, help] of page.matchAll(/^# HELP (\S+) (.*)$/gm)) found.set(name, { help, labels: new Set() });
  }
  for (const page of pages) {
    for (const [, name, kind] of page.matchAll(/^# TYPE (\S+) (\S+)$/gm)) found.get(name).kind = kind;
    for (const [, series, labels] of page.matchAll(/^([a-z_]+)\{(.*)\} \S+$/gm)) {
      const of = found.get(series) ?? found.get(series.replace(/_(bucket|sum|count)$/, ''));
      for (const [, label] of labels.matchAll(/(\w+)="/g)) if (label !== 'le') of.labels.add(label);
    }
  }
  const row = ([name, { kind, labels, help }]) =>
    `| \`${name}\` | ${kind} | ${[...labels].sort().map((label) => `\`${label}\``).join(', ')} | ${help.replaceAll('|', '\\|')} |`;
  return `# Figures for Prometheus

At \`metrics.listen\`, below \`/metrics\`. This page is written by the tests from what a server with a recorded call and one with
TLS show. Labels have few values: never the name of a room or of a person. Some series of labels are there only once something
was counted. Whoever asks for \`application/openmetrics-text\`, as Prometheus does, gets exemplars too: traces of joins, first packets and
recordings that took as long, where \`[traces]\` has some (Prometheus keeps them with \`--enable-feature=exemplar-storage\`).
\`configs/\` has rules, alerts and dashboards over these figures, which \`docs/pictures/dashboards/\` shows; \`docs/runbooks/\` says what to do when one of them calls.

| name | kind | labels | what it says |
|---|---|---|---|
${[...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(row).join('\n')}
`;
}

/** A collector of traces that keeps what it gets, as bytes. */
export class Collector {
  static async start() {
    const here = new Collector();
    here.got = [];
    here.server = createServer((request, answer) => {
      request.on('data', (data) => here.got.push(data));
      request.on('end', () => answer.end());
    }).listen(0, '127.0.0.1');
    await new Promise((done) => here.server.once('listening', done));
    here.endpoint = `http://127.0.0.1:${here.server.address().port}/v1/traces`;
    return here;
  }

  /** Whether these bytes, or this text, are in what came. */
  has(bytes) {
    return Buffer.concat(this.got).includes(bytes);
  }

  async close() {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }
}

export class Monitoring {
  /** Watches servers whose metrics are at these addresses. Everything is as handed out, but for addresses, and seconds in place of minutes. */
  static async of(...addresses) {
    const here = new Monitoring();
    here.folder = mkdtempSync(join(tmpdir(), 'parvis-monitoring-'));
    const exporter = await freePort();
    here.exporter = run(process.env.PARVIS_NODE_EXPORTER,
      [`--web.listen-address=127.0.0.1:${exporter}`, '--collector.disable-defaults', '--collector.timex']);
    cpSync(join(CONFIGS, 'prometheus/rules'), join(here.folder, 'rules'), { recursive: true });
    for (const file of readdirSync(join(here.folder, 'rules'))) {
      const path = join(here.folder, 'rules', file);
      const rules = readFileSync(path, 'utf8');
      writeFileSync(path, rules.replaceAll(/^( *for: )\d+[mh]$/gm, '$11s'));
    }
    let config = readFileSync(join(CONFIGS, 'prometheus/prometheus.yml'), 'utf8');
    config = put(config, '_interval: 15s', '_interval: 1s');
    config = put(config, '"127.0.0.1:7891"', addresses.map((each) => `"${each}"`).join(', '));
    config = put(config, '"127.0.0.1:9100"', `"127.0.0.1:${exporter}"`);
    writeFileSync(join(here.folder, 'prometheus.yml'), config);
    const port = await freePort();
    here.url = `http://127.0.0.1:${port}`;
    here.prometheus = run(`${HOME}/prometheus`, [
      `--config.file=${join(here.folder, 'prometheus.yml')}`, `--storage.tsdb.path=${join(here.folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`, '--log.level=warn', '--enable-feature=exemplar-storage',
    ]);
    await eventually('Prometheus to be ready', async () => (await fetch(`${here.url}/-/ready`).catch(() => null))?.ok);
    return here;
  }

  async #api(path, parameters = {}) {
    const answer = await fetch(`${this.url}/api/v1/${path}?${new URLSearchParams(parameters)}`);
    const body = await answer.json();
    assert.equal(body.status, 'success', `${path} ${JSON.stringify(parameters)}: ${body.error}`);
    return body.data;
  }

  /** What an expression gives now: labels and value of each. */
  async query(expression) {
    const { result } = await this.#api('query', { query: expression });
    return result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }));
  }

  /** What an expression gave from one time to another, in seconds: labels, and time and value of each point. */
  async range(expression, start, end, step = 1) {
    const { result } = await this.#api('query_range', { query: expression, start, end, step });
    return result.map(({ metric, values }) => ({ labels: metric, values: values.map(([time, value]) => [time, Number(value)]) }));
  }

  /** Exemplars of what these series had in the last hour. */
  async exemplars(query) {
    const now = Date.now() / 1000;
    const found = await this.#api('query_exemplars', { query, start: now - 3600, end: now + 60 });
    return found.flatMap(({ exemplars }) => exemplars);
  }

  /** All rules, with what became of them. */
  async rules() {
    return (await this.#api('rules')).groups.flatMap((group) => group.rules);
  }

  /** Names of the alerts that fire now. */
  async firing() {
    const found = await this.query('ALERTS{alertstate="firing"}');
    return [...new Set(found.map(({ labels }) => labels.alertname))].sort();
  }

  async close() {
    for (const each of [this.prometheus, this.exporter]) {
      each?.child.kill('SIGKILL');
      await each?.exited;
    }
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}
