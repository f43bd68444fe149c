// The gateway in front of each PHP server: what browsers, Node and Python get over wss from a server that knows nothing
// of TLS, and of WebSocket only what the header of its file admits.

import assert from 'node:assert/strict';
import https from 'node:https';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { PATIENCE, browserClient, chromiumBrowser, gateway, node, php, python, within } from './support.mjs';

const same = (got, text) => assert.equal(got, text);
const signed = (got, text) => {
  assert.match(got, /^User #\d+: /);
  assert.equal(got.replace(/^User #\d+: /, ''), text);
};

const SHAPES = [
  { file: 'fread-chat.php', profile: 'legacy', hearing: 'everyone', check: signed },
  { file: 'select-echo.php', profile: 'legacy', hearing: 'sender', check: same },
  { file: 'broadcast.php', profile: 'legacy', hearing: 'others', check: same },
  { file: 'event-loop.php', profile: 'transparent', hearing: 'others', check: same, greeting: 'welcome to /' },
];

let browser;
before(async () => { browser = await chromiumBrowser(); });
after(async () => { await browser?.close(); });

/** A server of this shape and a gateway in front of it. */
async function serve(t, shape) {
  const backend = await php(t, shape.file);
  // "transparent" is not asked for: it has to be the default
  const profile = shape.profile === 'transparent' ? [] : ['--profile', shape.profile];
  const gate = await gateway(t, ['--to', backend.url, ...profile]);
  return { backend, gate };
}

/** `speaker` says something, and everybody who should hear it does, as the next message. */
async function say(shape, text, speaker, ...others) {
  await speaker.send(text);
  const hearers = { everyone: [speaker, ...others], sender: [speaker], others }[shape.hearing];
  for (const hearer of hearers) shape.check(await hearer.next(), text);
}

/** Waits for the greeting, if this server has one. */
async function arrived(shape, client) {
  if (shape.greeting) assert.equal(await client.next(), shape.greeting);
  return client;
}

/** Tries until it works; what makes the next try different is the server's doing, not the clock's. */
async function persistently(attempt, what) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`${what}: ${error.message}`, { cause: error });
    }
  }
}

for (const shape of SHAPES) {
  describe(`${shape.file} behind the ${shape.profile} profile`, () => {
    test('two browsers exchange text', async (t) => {
      const { gate } = await serve(t, shape);
      const a = await arrived(shape, await browserClient(t, browser, gate, '/'));
      const b = await arrived(shape, await browserClient(t, browser, gate, '/'));
      await say(shape, 'hello from a', a, b);
      await say(shape, 'hällo from b ☺', b, a);
      await say(shape, 'x'.repeat(900), a, b);
      const c = await arrived(shape, await node(t, gate.url));
      assert.deepEqual(await a.close(1000, 'bye'), { code: 1000, reason: 'bye' });
      await say(shape, 'is anybody still here?', b, c);
      assert.deepEqual(await b.close(3001, ''), { code: 3001, reason: '' });
    });

    test('Node sends, receives, pings, and its close is answered within a second', async (t) => {
      const { gate } = await serve(t, shape);
      const a = await arrived(shape, await node(t, gate.url));
      const b = await arrived(shape, await node(t, gate.url));
      await say(shape, 'hello from a', a, b);
      const c = await arrived(shape, await node(t, gate.url));
      assert.equal(await a.ping('are you there?'), 'are you there?');
      a.socket.pong('unasked');
      await say(shape, 'no ping came through as a message', b, a, c);
      assert.deepEqual(await a.close(4001, 'done', 1000), { code: 4001, reason: 'done' });
      await say(shape, 'nor did a close', b, c);
      assert.deepEqual(await b.close(1000, '', 1000), { code: 1000, reason: '' });
    });

    test('Python sends, receives, stays alive by its keepalive, and closes with 1000', async (t) => {
      const { gate } = await serve(t, shape);
      const a = await arrived(shape, await python(t, gate.url));
      const b = await arrived(shape, await python(t, gate.url));
      await say(shape, 'hello from a', a, b);
      for (let i = 0; i < 3; i += 1) await Promise.all([a.keepalive(), b.keepalive()]);
      await say(shape, 'hällo from b', b, a);
      const { code, received } = await a.close(1000, 'bye');
      assert.deepEqual({ code, received }, { code: 1000, received: 1000 });
      const c = await arrived(shape, await node(t, gate.url));
      await say(shape, 'is anybody still here?', c, b);
      assert.equal((await b.close(1000)).code, 1000);
    });

    test('a browser, Node and Python share it', async (t) => {
      const { gate } = await serve(t, shape);
      const clients = [await browserClient(t, browser, gate, '/'), await node(t, gate.url), await python(t, gate.url)];
      for (const client of clients) await arrived(shape, client);
      for (const speaker of clients) {
        await say(shape, 'to the two others', speaker, ...clients.filter((client) => client !== speaker));
      }
    });

    test('a message in fragments arrives whole', async (t) => {
      const { gate } = await serve(t, shape);
      const a = await arrived(shape, await node(t, gate.url));
      const b = await arrived(shape, await node(t, gate.url));
      const inPieces = { send: (text) => a.sendFragments(...text.split(/(?= )/)), next: () => a.next() };
      await say(shape, 'one two three', inPieces, b);
    });

    test('text that is not UTF-8 costs its sender the connection, and nobody else', async (t) => {
      const { gate } = await serve(t, shape);
      const vandal = await arrived(shape, await node(t, gate.url));
      const [a, b] = [await node(t, gate.url), await node(t, gate.url)];
      for (const bystander of [a, b]) await arrived(shape, bystander);
      vandal.socket.send(Buffer.from([0xff, 0xfe]), { binary: false });
      assert.equal((await within(vandal.closed, 'the vandal\'s end')).code, 1007);
      await say(shape, 'still here', a, b);
    });

    test('clients learn at once that the server has died', async (t) => {
      const { backend, gate } = await serve(t, shape);
      const client = await arrived(shape, await node(t, gate.url));
      backend.kill('SIGKILL');
      const code = shape.profile === 'transparent' ? 1011 : 1012;
      assert.equal((await within(client.closed, 'a close')).code, code);
    });
  });
}

describe('what would end or ban a server stays outside', () => {
  test('a plain GET gets 426, and broadcast.php lives on', async (t) => {
    const [shape] = SHAPES.filter(({ file }) => file === 'broadcast.php');
    const { backend, gate } = await serve(t, shape);
    const [a, b] = [await node(t, gate.url), await node(t, gate.url)];
    const request = https.get(`${gate.page}/`, { rejectUnauthorized: false, agent: false });
    const [response] = await within(once(request, 'response'), 'an answer');
    response.resume();
    assert.equal(response.statusCode, 426);
    await say(shape, 'still here', a, b);
    assert.equal(backend.child.exitCode, null);
  });

  test('clients that vanish do not use up the five connections of fread-chat.php', async (t) => {
    const [shape] = SHAPES.filter(({ file }) => file === 'fread-chat.php');
    const { gate } = await serve(t, shape);
    for (let i = 0; i < 12; i += 1) {
      const client = await persistently(() => node(t, gate.url), `visitor ${i + 1}`);
      await say(shape, `visitor ${i + 1}`, client);
      client.socket.terminate();
    }
  });
});

describe('what such a server cannot bear is kept from it', () => {
  const BURST = Array.from({ length: 20 }, (_, i) => `message ${i}`);

  for (const shape of [...SHAPES.filter(({ profile }) => profile === 'legacy'), { ...SHAPES[3], profile: 'ratchet' }]) {
    test(`${shape.file} behind ${shape.profile}: twenty messages at once, and a close, lose none`, async (t) => {
      const { gate } = await serve(t, shape);
      const a = await arrived(shape, await node(t, gate.url));
      const b = await arrived(shape, await node(t, gate.url));
      const hearers = { everyone: [a, b], sender: [a], others: [b] }[shape.hearing];
      // In one write, as a busy page or a phone that wakes up sends them.
      a.socket._socket.cork();
      BURST.forEach((text) => a.socket.send(text));
      a.socket._socket.uncork();
      for (const text of BURST) {
        for (const hearer of hearers) shape.check(await hearer.next(), text);
      }
      if (shape.hearing === 'sender') return;
      // The same again, by somebody who leaves at once.
      a.socket._socket.cork();
      BURST.forEach((text) => a.socket.send(text));
      a.socket.close(1000, 'bye');
      a.socket._socket.uncork();
      for (const text of BURST) shape.check(await b.next(), text);
    });
  }

  for (const [file, profile, size] of [['fread-chat.php', 'legacy', 992], ['select-echo.php', 'php-2048', 2040],
    ['broadcast.php', 'php-2048', 2040]]) {
    test(`${file} behind ${profile}: ${size} bytes pass, one more is 1009 and stops nobody`, async (t) => {
      const [shape] = SHAPES.filter((one) => one.file === file);
      const { gate } = await serve(t, { ...shape, profile });
      const [a, b, c] = [await node(t, gate.url), await node(t, gate.url), await node(t, gate.url)];
      await say(shape, 'x'.repeat(size), a, b, c);
      a.socket.send('x'.repeat(size + 1));
      assert.equal((await within(a.closed, 'the end of a')).code, 1009);
      await say(shape, 'still here', b, c);
    });
  }

  test('broadcast.php, whose writes block, is not stopped by a client that does not read', async (t) => {
    const [shape] = SHAPES.filter(({ file }) => file === 'broadcast.php');
    const { gate } = await serve(t, { ...shape, profile: 'php-2048' });
    const [asleep, a, b] = [await node(t, gate.url), await node(t, gate.url), await node(t, gate.url)];
    asleep.socket.pause();
    // More than all the kernel's buffers on the way can hold, which is 7 MB.
    const text = 'x'.repeat(2000);
    for (let i = 0; i < 5000; i += 100) {
      for (let j = 0; j < 100; j += 1) a.socket.send(text);
      for (let j = 0; j < 100; j += 1) shape.check(await b.next(), text);
    }
    await say(shape, 'nobody waits', b, a);
  });

  test('binary that broadcast.php sends on as text reaches nobody, and costs nobody the connection', async (t) => {
    const [shape] = SHAPES.filter(({ file }) => file === 'broadcast.php');
    const { gate } = await serve(t, shape);
    const [vandal, a, b] = [await node(t, gate.url), await node(t, gate.url), await node(t, gate.url)];
    // Binary that the server broadcasts as text: every client would have to hang up.
    vandal.socket.send(Buffer.from([0xff, 0xfe]));
    await say(shape, 'still here', a, b);
    await say(shape, 'and so am I', b, a);
  });
});

test('the chat page talks to fread-chat.php as well', async (t) => {
  const [shape] = SHAPES;
  const { gate } = await serve(t, shape);
  const other = await node(t, gate.url);
  const { page } = await browserClient(t, browser, gate, '/');
  await page.goto(`${gate.page}/chat?socket=/`);
  await page.locator('#status[data-state=connected]').waitFor();
  await page.fill('#text', 'a < b');
  await page.click('#send');
  signed(await other.next(), 'a &lt; b');
  await page.locator('#messages', { hasText: 'a < b' }).waitFor();
  assert.deepEqual(page.complaints, []);
});
