// The request head that the PHP servers get: short enough for their buffers, in their letters, and with a subprotocol
// answered in their stead.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { browserClient, chromiumBrowser, configured, gateway, node, php } from './support.mjs';

const LEGACY = [
  { file: 'fread-chat.php', heard: (text) => new RegExp(`^User #\\d+: ${text}$`) },
  { file: 'select-echo.php', heard: (text) => new RegExp(`^${text}$`) },
];

let browser;
before(async () => { browser = await chromiumBrowser(); });
after(async () => { await browser?.close(); });

/** A gateway whose only route, at `/ws`, has these keys beside the pool. */
async function routed(t, backend, keys) {
  return configured(t, `
    [tls]
    self_signed = ["localhost", "127.0.0.1"]
    [[route]]
    path = "/ws"
    origins = "*"
    proxy = { pool = "p", ${keys} }
    [pool.p]
    backends = ["${backend.url}"]
  `);
}

for (const { file, heard } of LEGACY) {
  describe(`${file} behind the legacy profile`, () => {
    test('three kilobytes of cookies do not spill into its frames', async (t) => {
      const backend = await php(t, file);
      const gate = await gateway(t, ['--to', backend.url, '--profile', 'legacy']);
      const Cookie = `PHPSESSID=0123456789abcdef; _ga=${'g'.repeat(1500)}; _fbp=${'f'.repeat(1500)}`;
      const client = await node(t, gate.url, { headers: { Cookie, 'User-Agent': 'u'.repeat(400) } });
      for (const text of ['first', 'second']) {
        await client.send(text);
        assert.match(await client.next(), heard(text));
      }
    });

    test('an offer of subprotocols is answered, in Node and in a browser', async (t) => {
      const backend = await php(t, file);
      const gate = await gateway(t, ['--to', backend.url, '--profile', 'legacy']);
      const client = await node(t, gate.url, { protocols: ['chat', 'superchat'] });
      assert.equal(client.socket.protocol, 'chat');
      await client.send('hello');
      assert.match(await client.next(), heard('hello'));
      const { page } = await browserClient(t, browser, gate, '/');
      const protocol = await page.evaluate(() => new Promise((resolve) => {
        const socket = new WebSocket(`wss://${window.location.host}/`, ['superchat', 'chat']);
        socket.onopen = () => resolve(socket.protocol);
        socket.onclose = ({ code }) => resolve(code);
      }));
      assert.equal(protocol, 'superchat');
    });
  });
}

test('event-loop.php is greeted at the path below the route', async (t) => {
  const backend = await php(t, 'event-loop.php');
  for (const [keys, seen] of [['strip_prefix = true', '/room'], ['strip_prefix = false', '/ws/room']]) {
    const gate = await routed(t, backend, keys);
    const client = await node(t, `${gate.url}/ws/room?a=b`);
    assert.equal(await client.next(), `welcome to ${seen}`);
  }
});

test('event-loop.php, which refuses every offer of a subprotocol, does not get to see it', async (t) => {
  const backend = await php(t, 'event-loop.php');
  const passing = await routed(t, backend, '');
  await assert.rejects(node(t, `${passing.url}/ws`, { protocols: ['chat'] }), /426/);
  const answering = await routed(t, backend, 'legacy = { subprotocol = "answer" }');
  const client = await node(t, `${answering.url}/ws`, { protocols: ['chat'] });
  assert.equal(client.socket.protocol, 'chat');
  assert.equal(await client.next(), 'welcome to /ws');
});
