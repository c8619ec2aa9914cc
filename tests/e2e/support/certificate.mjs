// SPDX-License-Identifier: EUPL-1.2
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A certificate for loopback that nobody has signed, good for three days, and its key: files for a server's configuration. */
export function selfSigned() {
  const folder = mkdtempSync(join(tmpdir(), 'parvis-pair-'));
  const [chain, key] = ['chain.pem', 'key.pem'].map((name) => join(folder, name));
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '3',
    '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', key, '-out', chain], { stdio: 'ignore' });
  const files = { 'chain.pem': readFileSync(chain), 'key.pem': readFileSync(key) };
  rmSync(folder, { recursive: true });
  return files;
}
