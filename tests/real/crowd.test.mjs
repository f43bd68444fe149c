// Many clients in front of PHP servers that cannot bear many: more than one process of `select` can hold, more than one
// address is allowed, and more at once than `listen` was told to hold.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configured, node, php, within } from './support.mjs';

const LONG = 60_000;

/** A gateway in front of these backends, with the legacy profile, behind a proxy that tells who the clients are. */
async function shield(t, backends, more = '') {
  return configured(t, `trusted_proxies = ["127.0.0.1"]
[tls]
self_signed = ["localhost"]
[limits]
connections_per_address = 10000
handshakes_per_address = "0/s"
[[route]]
path = "/"
proxy = { pool = "php", profile = "legacy" }
[pool.php]
backends = [${backends.map(({ url }) => `"${url}"`).join(', ')}]
${more}
`);
}

/** A client from this address, as the trusted proxy tells it. */
function from(t, gate, address) {
  return node(t, gate.url, { headers: { 'X-Forwarded-For': address } });
}

/** So many clients, of whom so many come at once. */
async function crowd(t, gate, count, together) {
  const clients = [];
  while (clients.length < count) {
    const comers = Array.from({ length: Math.min(together, count - clients.length) }, (_, at) =>
      from(t, gate, `192.0.${Math.floor((clients.length + at) / 250)}.${(clients.length + at) % 250 + 1}`));
    clients.push(...await within(Promise.all(comers), `client ${clients.length} and the next`, LONG));
  }
  return clients;
}

const alive = ({ child }) => child.exitCode === null && child.signalCode === null;

test('1,200 clients on two processes of select: nobody dies at 1024', { timeout: 4 * LONG }, async (t) => {
  const backends = [await php(t, 'select-echo.php'), await php(t, 'select-echo.php')];
  const gate = await shield(t, backends);
  const clients = await crowd(t, gate, 1200, 100);
  for (let at = 0; at < clients.length; at += 50) {
    const some = clients.slice(at, at + 50);
    await Promise.all(some.map((client, i) => client.send(`hello from ${at + i}`)));
    const heard = await Promise.all(some.map((client) => client.next()));
    assert.deepEqual(heard, some.map((_, i) => `hello from ${at + i}`));
  }
  assert.ok(backends.every(alive), 'a PHP process died');
});

test('when both are full the next is told so, and who leaves makes room', { timeout: LONG }, async (t) => {
  const backends = [await php(t, 'select-echo.php'), await php(t, 'select-echo.php')];
  const gate = await shield(t, backends, 'connections_per_backend = 5\nqueue = 0');
  const clients = await crowd(t, gate, 10, 5);
  await assert.rejects(from(t, gate, '198.51.100.1'), /503/);
  await clients[0].close(1000, '');
  for (;;) {
    // The place is free once PHP has let go of the connection.
    const next = await from(t, gate, '198.51.100.1').catch((error) => error);
    if (!(next instanceof Error)) {
      await next.send('in');
      assert.equal(await next.next(), 'in');
      break;
    }
    assert.match(next.message, /503/);
  }
});

test('15 clients from 15 addresses come in where PHP counts 5 for one', { timeout: LONG }, async (t) => {
  const backend = await php(t, 'fread-chat.php');
  const gate = await shield(t, [backend]);
  const clients = await crowd(t, gate, 15, 1);
  await clients[3].send('can you all hear me?');
  const heard = await Promise.all(clients.map((client) => client.next()));
  assert.ok(heard.every((text) => /^User #\d+: can you all hear me\?$/.test(text)), heard.join('\n'));
});

test('100 clients come back at once after a restart of the network', { timeout: 2 * LONG }, async (t) => {
  const backend = await php(t, 'select-echo.php');
  const gate = await shield(t, [backend]);
  const clients = await crowd(t, gate, 100, 100);
  await Promise.all(clients.map(async (client, at) => {
    await client.send(`back ${at}`);
    assert.equal(await client.next(), `back ${at}`);
  }));
});
