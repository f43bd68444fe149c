// SIGTERM: everybody is told 1001, and the process ends with 0.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gateway, node, php, within } from './support.mjs';

const CLIENTS = 50;

/** Opens the clients from two addresses, so that the default rate for one address is not the thing under test. */
async function open(t, urls) {
  return Promise.all(Array.from({ length: CLIENTS }, (_, i) => (
    node(t, urls[i % urls.length], { localAddress: `127.0.0.${1 + (i >> 1) % 2}` })
  )));
}

async function everybodyIsTold(gate, clients) {
  const stopped = gate.stop();
  const codes = await Promise.all(clients.map(async (client) => (await within(client.closed, 'a close')).code));
  assert.deepEqual(codes, clients.map(() => 1001));
  assert.deepEqual(await stopped, { code: 0, signal: null });
  assert.equal(gate.lines.length, 1, 'one line on standard output');
}

test(`${CLIENTS} clients of the hub and the echo`, async (t) => {
  const gate = await gateway(t);
  const clients = await open(t, [`${gate.url}/chat`, `${gate.url}/echo`]);
  await everybodyIsTold(gate, clients);
});

for (const profile of ['transparent', 'legacy']) {
  test(`${CLIENTS} clients of a server behind the ${profile} profile, which lives on`, async (t) => {
    const backend = await php(t, 'event-loop.php');
    const gate = await gateway(t, ['--to', backend.url, '--profile', profile]);
    const clients = await open(t, [`${gate.url}/`]);
    await everybodyIsTold(gate, clients);
    const direct = await node(t, `${backend.url}/`);
    assert.equal(await direct.next(), 'welcome to /');
  });
}
