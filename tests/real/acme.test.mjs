// Certificates from pebble, the CA that Let's Encrypt tests ACME clients with: it checks every signature, nonce and answer
// as a real one does, refuses some good nonces on purpose, and looks at the gateway over TLS and over plain HTTP.

import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import tls from 'node:tls';
import WebSocket from 'ws';
import { WSGATE, file, gateway, metric, start, within } from './support.mjs';

const PEBBLE = process.env.WSGATE_PEBBLE ?? '/usr/bin/pebble';
const ORDERED = 'wsgate_acme_orders_total{result="ok"}';
/** For a whole order, on a slow, busy machine. */
const LONG = 90_000;

/** A port that was free a moment ago: the CA and the gateway have to be told of each other's before either starts. */
async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** A DNS server for which every name has the address 127.0.0.1, and nothing else (RFC 1035 §4). */
async function nameServer(t) {
  const socket = dgram.createSocket('udp4');
  socket.on('message', (question, from) => {
    let end = 12;
    while (question[end] !== 0) end += question[end] + 1;
    const isAddress = question.readUInt16BE(end + 1) === 1;
    const asked = question.subarray(12, end + 5);
    const head = Buffer.from(question.subarray(0, 12));
    head.writeUInt16BE(0x8180, 2);
    [1, isAddress ? 1 : 0, 0, 0].forEach((count, at) => head.writeUInt16BE(count, 4 + 2 * at));
    const address = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1];
    socket.send(Buffer.concat([head, asked, Buffer.from(isAddress ? address : [])]), from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.after(() => socket.close());
  return `127.0.0.1:${socket.address().port}`;
}

function get(url) {
  return new Promise((resolve, reject) => {
    https.get(url, { rejectUnauthorized: false }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (piece) => { text += piece; }).on('end', () => resolve(text));
    }).on('error', reject);
  });
}

/** Tries until it succeeds; the wait for it has a deadline of its own. */
async function until(work, what) {
  let last;
  let over = false;
  const tries = async () => {
    while (!over) {
      try {
        return await work();
      } catch (error) {
        last = error;
        await new Promise((resolve) => { setTimeout(resolve, 50); });
      }
    }
    return undefined;
  };
  try {
    return await within(tries(), what, LONG);
  } catch (error) {
    throw new Error(`${error.message}; at last: ${last?.message}`);
  } finally {
    over = true;
  }
}

/** Starts pebble, and gives the ports that it asks at, its directory, and who signs what it makes. */
async function pebble(t, more = {}) {
  const folder = await mkdtemp(path.join(tmpdir(), 'wsgate-pebble-'));
  t.after(() => rm(folder, { recursive: true }));
  const made = start(t, WSGATE, ['cert', '--out', folder, 'localhost', '127.0.0.1']);
  assert.equal((await within(made.exited, 'a certificate')).code, 0, made.errors);
  const [directoryPort, managementPort, httpPort, tlsPort] = await Promise.all([...Array(4)].map(freePort));
  const settings = {
    listenAddress: `127.0.0.1:${directoryPort}`,
    managementListenAddress: `127.0.0.1:${managementPort}`,
    certificate: path.join(folder, 'localhost.pem'),
    privateKey: path.join(folder, 'localhost.key'),
    httpPort,
    tlsPort,
    ocspResponderURL: '',
    externalAccountBindingRequired: false,
    ...more,
  };
  const config = path.join(folder, 'pebble.json');
  await writeFile(config, JSON.stringify({ pebble: settings }));
  const env = { ...process.env, PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '20', PEBBLE_AUTHZREUSE: '0' };
  const args = ['-config', config, '-dnsserver', await nameServer(t)];
  const program = start(t, PEBBLE, args, { env });
  program.name = 'pebble';
  const root = await until(async () => {
    const text = await get(`https://127.0.0.1:${managementPort}/roots/0`);
    assert.match(text, /BEGIN CERTIFICATE/);
    return text;
  }, 'pebble to listen');
  return { program, root, httpPort, tlsPort, directory: `https://localhost:${directoryPort}/dir`, folder };
}

/** A gateway that has nothing but what this CA makes, at the ports that it asks at. */
async function certified(t, ca, names, more = '') {
  const storage = path.join(ca.folder, 'kept');
  const text = `[to_https]
listen = ["127.0.0.1:${ca.httpPort}"]
[admin]
listen = "127.0.0.1:0"
[tls.acme]
names = ${JSON.stringify(names)}
terms_agreed = true
directory = "${ca.directory}"
ca = "${path.join(ca.folder, 'wsgate-ca.pem')}"
storage = "${storage}"
contact = ["mailto:me@example.com"]
retry = "200ms"
${more}
[[route]]
path = "/echo"
echo = {}
`;
  const gate = await gateway(t, ['--config', await file(t, 'wsgate.toml', text)], { port: ca.tlsPort });
  gate.storage = storage;
  return gate;
}

/** The certificate that is shown for a name; with the CA's root only if that vouches for it. */
function shown(gate, servername, root) {
  return new Promise((resolve, reject) => {
    const trust = root ? { ca: root } : { rejectUnauthorized: false };
    const socket = tls.connect({ host: '127.0.0.1', port: gate.port, servername, ...trust }, () => {
      resolve(socket.getPeerCertificate());
      socket.end();
    });
    socket.on('error', reject);
  });
}

/** An echo over wss, by this name. */
async function echo(t, gate, host, trust) {
  const socket = new WebSocket(`wss://127.0.0.1:${gate.port}/echo`, { servername: host, checkServerIdentity: () => undefined, ...trust });
  t.after(() => socket.terminate());
  await within(once(socket, 'open'), 'a WebSocket');
  return async (text) => {
    socket.send(text);
    const [data] = await within(once(socket, 'message'), 'an echo');
    assert.equal(data.toString(), text);
  };
}

test('tls-alpn-01: a certificate for two names, with nonces that are refused on the way', async (t) => {
  const ca = await pebble(t);
  const gate = await certified(t, ca, ['a.wsgate.example', 'b.wsgate.example']);
  const certificate = await until(() => shown(gate, 'b.wsgate.example', ca.root), 'a certificate of the CA');
  assert.equal(certificate.subjectaltname, 'DNS:a.wsgate.example, DNS:b.wsgate.example');
  await (await echo(t, gate, 'a.wsgate.example', { ca: ca.root }))('over wss');
  const [folder] = await readdir(gate.storage);
  const account = JSON.parse(await readFile(path.join(gate.storage, folder, 'account.json'), 'utf8'));
  assert.deepEqual(account.contact, ['mailto:me@example.com']);
  await gate.stop();
  // The next start serves what is kept, and orders nothing.
  const again = await certified(t, ca, ['a.wsgate.example', 'b.wsgate.example']);
  const same = await shown(again, 'a.wsgate.example', ca.root);
  assert.equal(same.serialNumber, certificate.serialNumber);
  assert.equal(await metric(again, ORDERED), 0);
});

test('http-01, with an account that was made elsewhere', async (t) => {
  const key = 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W';
  const ca = await pebble(t, { externalAccountBindingRequired: true, externalAccountMACKeys: { 'kid-1': key } });
  const held = await file(t, 'eab.key', `${key}\n`);
  const more = `challenge = "http-01"\neab_id = "kid-1"\neab_key_file = "${held}"`;
  const gate = await certified(t, ca, ['c.wsgate.example'], more);
  const certificate = await until(() => shown(gate, 'c.wsgate.example', ca.root), 'a certificate of the CA');
  assert.equal(certificate.subjectaltname, 'DNS:c.wsgate.example');
});

test('a name that the CA does not certify: it says so, and the log too', async (t) => {
  const ca = await pebble(t, { domainBlocklist: ['blocked.example'] });
  const gate = await certified(t, ca, ['blocked.example']);
  await until(() => assert.match(gate.errors, /no certificate was made.*the CA says: .*\(rejectedIdentifier\)/), 'a reason');
  await assert.rejects(shown(gate, 'blocked.example'), /alert/);
});

test('a renewal under an open WebSocket', async (t) => {
  const ca = await pebble(t, { certificateValidityPeriod: 20 });
  const gate = await certified(t, ca, ['d.wsgate.example']);
  const first = await until(() => shown(gate, 'd.wsgate.example'), 'a certificate of the CA');
  const says = await echo(t, gate, 'd.wsgate.example', { rejectUnauthorized: false });
  await says('before');
  await until(async () => {
    const { serialNumber } = await shown(gate, 'd.wsgate.example');
    assert.notEqual(serialNumber, first.serialNumber);
  }, 'another certificate');
  await says('after');
});
