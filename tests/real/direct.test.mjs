// The PHP servers without anything in front: proof that they are as legacy as their headers say, so that what the
// other tests show is the gateway's doing.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { ACCEPT, node, php, python, raw, remainsSilent, upgradeRequest, within } from './support.mjs';

const LOWER_CASE = upgradeRequest().toLowerCase()
  .replace('get / http/1.1', 'GET / HTTP/1.1')
  .replace('dghlihnhbxbszsbub25jzq==', 'dGhlIHNhbXBsZSBub25jZQ==');
const PLAIN_GET = 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';

/** A text frame as a client sends it, under a mask of zeros. */
function textFrame(payload, first = 0x81) {
  return Buffer.concat([Buffer.from([first, 0x80 | payload.length, 0, 0, 0, 0]), Buffer.from(payload)]);
}

async function many(t, count, url, options) {
  return Promise.all(Array.from({ length: count }, () => node(t, url, options)));
}

/**
 * Asks until a server that is about to stop has stopped. Gives the answer that is still to come, in an object, since
 * an async function would wait for a bare promise.
 */
async function firstUnanswered(asking, hearing) {
  for (let round = 0; round < 5; round += 1) {
    await asking.send('are you there?');
    const answer = hearing.pending();
    try {
      await remainsSilent(answer, 'a stopped server');
      return { answer };
    } catch {
      // it had not come to the fatal frame yet
    }
  }
  throw new Error('the server goes on answering');
}

for (const file of ['fread-chat.php', 'select-echo.php', 'broadcast.php', 'event-loop.php']) {
  test(`${file} ends with 0 on SIGTERM, clients or not`, async (t) => {
    const server = await php(t, file);
    const client = await node(t, server.url);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    await within(client.closed, 'the end of its connection');
    assert.equal(server.lines.length, 1, 'one line on standard output');
  });
}

describe('fread-chat.php', () => {
  test('sends to all, sender included, with the markup escaped', async (t) => {
    const server = await php(t, 'fread-chat.php');
    const [a, b] = await many(t, 2, server.url);
    await a.send('1 < 2 & <b>so on</b>');
    const got = await a.next();
    assert.match(got, /^User #\d+: 1 &lt; 2 &amp; &lt;b&gt;so on&lt;\/b&gt;$/);
    assert.equal(await b.next(), got);
  });

  test('carries messages from worker to worker through the master', async (t) => {
    const server = await php(t, 'fread-chat.php', 2);
    const clients = await many(t, 4, server.url);
    await clients[0].send('to both workers');
    for (const client of clients) assert.match(await client.next(), /^User #\d+: to both workers$/);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });

  test('closes the 6th connection of an address before any byte', async (t) => {
    const server = await php(t, 'fread-chat.php');
    await many(t, 5, server.url);
    const sixth = await raw(t, server.port);
    assert.equal(await sixth.rest(), '');
    await node(t, server.url, { localAddress: '127.0.0.2' });
  });

  test('never counts out a client that left by RST', async (t) => {
    const server = await php(t, 'fread-chat.php');
    const witness = await node(t, server.url, { localAddress: '127.0.0.2' });
    for (const client of await many(t, 5, server.url)) client.socket._socket.resetAndDestroy();
    for (const round of ['one', 'two']) { // by the second answer the server has seen all five leave
      await witness.send(round);
      await witness.next();
    }
    assert.equal(await (await raw(t, server.port)).rest(), '');
  });

  test('knows header names in canonical case only, and wants them in one read', async (t) => {
    const server = await php(t, 'fread-chat.php');
    const good = await raw(t, server.port);
    good.write(upgradeRequest());
    const answer = await good.until('\r\n\r\n');
    assert.match(answer, /^HTTP\/1\.1 101 Web Socket Protocol Handshake\r\n/);
    assert.ok(answer.includes(ACCEPT));
    for (const request of [LOWER_CASE, PLAIN_GET, upgradeRequest().slice(0, 60)]) {
      const bad = await raw(t, server.port);
      bad.write(request);
      assert.equal(await bad.rest(), '');
    }
  });

  test('decodes one frame a read', async (t) => {
    const server = await php(t, 'fread-chat.php');
    const client = await node(t, server.url);
    await client.sendTogether('first', 'second');
    assert.match(await client.next(), /: first$/);
    await client.send('third');
    assert.match(await client.next(), /: third$/, 'the second one is lost');
  });

  test('publishes pings, takes the first fragment for a message, loses "0" and what is not UTF-8', async (t) => {
    const server = await php(t, 'fread-chat.php');
    const client = await node(t, server.url);
    client.socket.ping('a ping');
    assert.match(await client.next(), /: a ping$/);
    client.socket.pong('a pong');
    assert.match(await client.next(), /: a pong$/);
    client.socket.send('a piece', { fin: false });
    assert.match(await client.next(), /: a piece$/);
    const witness = await node(t, server.url);
    const lost = [[' and the rest', { fin: true }], ['0', {}], [Buffer.from([0xc3, 0x28]), { binary: false }]];
    for (const [data, options] of lost) {
      client.socket.send(data, options);
      for (const round of ['one', 'two']) { // by the second answer the server has read what came before the first
        await witness.send(round);
        assert.match(await witness.next(), new RegExp(`: ${round}$`));
        assert.match(await client.next(), new RegExp(`: ${round}$`));
      }
    }
    await client.send(Buffer.from('binary'));
    assert.match(await client.next(), /: binary$/, 'as text');
  });

  test('stops for everybody when a frame is over the read size', async (t) => {
    const server = await php(t, 'fread-chat.php');
    const [long, other] = await many(t, 2, server.url);
    await long.send('x'.repeat(992));
    assert.match(await other.next(), /: x{992}$/, 'the most that fits');
    await long.next();
    await long.send('x'.repeat(1200));
    const { answer } = await firstUnanswered(other, other);
    await long.send('y');
    // The rest of the long frame may be taken for a message of its own and come first.
    let heard = await within(answer, 'an answer after the thaw');
    while (!/: are you there\?$/.test(heard)) heard = await other.next();
  });

  test('ignores a close and goes on sending', async (t) => {
    const server = await php(t, 'fread-chat.php');
    const [leaving, other] = await many(t, 2, server.url);
    leaving.socket.close(1000, 'bye');
    await other.send('still there?');
    assert.match(await leaving.next(), /: still there\?$/);
    await remainsSilent(leaving.closed, 'a close nobody answers');
  });

  test('is given up by Python, whose keepalive pings are published instead of answered', async (t) => {
    const server = await php(t, 'fread-chat.php');
    const witness = await node(t, server.url);
    const client = await python(t, server.url, { interval: 0.1, timeout: 0.3 });
    const { sent } = await within(client.closed, 'the keepalive to fail');
    assert.equal(sent, 1011);
    witness.socket.ping('also');
    assert.match(await witness.next(), /^User #\d+: /);
  });
});

describe('select-echo.php', () => {
  test('echoes to the sender alone', async (t) => {
    const server = await php(t, 'select-echo.php');
    const [a, b] = await many(t, 2, server.url);
    await a.send('for a: grüße');
    await b.send('for b');
    assert.equal(await a.next(), 'for a: grüße');
    assert.equal(await b.next(), 'for b');
  });

  test('answers 101 to anything, with a wrong accept unless the case is canonical', async (t) => {
    const server = await php(t, 'select-echo.php');
    for (const [request, right] of [[upgradeRequest(), true], [LOWER_CASE, false], [PLAIN_GET, false]]) {
      const client = await raw(t, server.port);
      client.write(request);
      const answer = await client.until('\r\n\r\n');
      assert.match(answer, /^HTTP\/1\.1 101 /);
      assert.equal(answer.includes(ACCEPT), right);
    }
  });

  test('takes each read for a message', async (t) => {
    const server = await php(t, 'select-echo.php');
    const client = await raw(t, server.port);
    client.write(upgradeRequest());
    const head = (await client.until('\r\n\r\n')).length;
    client.write(Buffer.concat([textFrame('one'), textFrame('two')]));
    await client.until('two');
    const frame = client.received().subarray(head);
    assert.equal(frame[1], 'one'.length + textFrame('two').length, 'one frame, the second one\'s head within');
  });

  test('echoes pings and fragments as text messages', async (t) => {
    const server = await php(t, 'select-echo.php');
    const client = await node(t, server.url);
    client.socket.ping('a ping');
    assert.equal(await client.next(), 'a ping');
    client.socket.send('a piece', { fin: false });
    assert.equal(await client.next(), 'a piece');
  });

  test('garbles what is over 2040 bytes', async (t) => {
    const server = await php(t, 'select-echo.php');
    const client = await node(t, server.url);
    await client.send('x'.repeat(2040));
    assert.equal(await client.next(), 'x'.repeat(2040));
    await client.send('y'.repeat(2041));
    assert.equal(await client.next(), 'y'.repeat(2040));
  });
});

describe('broadcast.php', () => {
  test('sends to all others, whatever the form of the length', async (t) => {
    const server = await php(t, 'broadcast.php');
    const [a, b, c] = await many(t, 3, server.url);
    for (const length of [0, 1, 125, 126, 65_535, 65_536, 70_000]) {
      const text = 'ä'.repeat(length >> 1) + 'x'.repeat(length & 1);
      await a.send(text);
      assert.equal(await b.next(), text);
      assert.equal(await c.next(), text);
    }
    await b.send('from b');
    assert.equal(await a.next(), 'from b', 'and a never heard itself');
  });

  for (const [name, request] of [['a plain GET', PLAIN_GET], ['lower-case header names', LOWER_CASE]]) {
    test(`dies of ${name}, with everybody in it`, async (t) => {
      const server = await php(t, 'broadcast.php');
      const bystander = await node(t, server.url);
      (await raw(t, server.port)).write(request);
      assert.equal((await within(server.exited, 'the end of the server')).code, 255);
      assert.equal((await within(bystander.closed, 'the end of a bystander')).code, 1006);
    });
  }

  test('stops for everybody while one client owes it the rest of a message', async (t) => {
    const server = await php(t, 'broadcast.php');
    const [a, b] = await many(t, 2, server.url);
    const debtor = await raw(t, server.port);
    debtor.write(upgradeRequest());
    await debtor.until('\r\n\r\n');
    debtor.write(Buffer.from([0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5]));
    const { answer } = await firstUnanswered(a, b);
    debtor.socket.destroy();
    await within(answer, 'the message after the debtor has left');
  });

  test('broadcasts pings, and text that is not UTF-8, which disconnects every proper client', async (t) => {
    const server = await php(t, 'broadcast.php');
    const [a, b] = await many(t, 2, server.url);
    a.socket.ping('a ping');
    assert.equal(await b.next(), 'a ping');
    const failed = once(b.socket, 'error');
    await a.send(Buffer.from([0xff, 0xfe]));
    assert.match((await within(failed, 'the bystander to complain'))[0].message, /invalid UTF-8/i);
  });
});

describe('event-loop.php', () => {
  async function join(t, server, room) {
    const client = await node(t, server.url + room);
    assert.equal(await client.next(), `welcome to ${room}`);
    return client;
  }

  test('has a room for each path', async (t) => {
    const server = await php(t, 'event-loop.php');
    const [a, b] = [await join(t, server, '/red'), await join(t, server, '/red')];
    const elsewhere = await join(t, server, '/blue');
    const neighbour = await join(t, server, '/blue');
    await a.send('hello red');
    assert.equal(await b.next(), 'hello red');
    await neighbour.send('hello blue');
    assert.equal(await elsewhere.next(), 'hello blue', 'and nothing from the other room');
  });

  test('takes any case and any segmentation, and greets in the same write as the 101', async (t) => {
    const server = await php(t, 'event-loop.php');
    const listener = await join(t, server, '/');
    const client = await raw(t, server.port);
    client.socket.setNoDelay(true);
    const once101 = once(client.socket, 'data');
    for (const byte of LOWER_CASE) client.write(byte);
    const [first] = await within(once101, 'an answer');
    assert.match(first.toString('latin1'), /^HTTP\/1\.1 101 [^]*\r\n\r\n\x81\x0cwelcome to \/$/);
    assert.ok(first.includes(ACCEPT));
    for (const byte of textFrame('bytewise')) client.write(Buffer.from([byte]));
    assert.equal(await listener.next(), 'bytewise');
  });

  test('refuses a head over 4096 bytes with 413', async (t) => {
    const server = await php(t, 'event-loop.php');
    const rest = upgradeRequest({ Cookie: '' }).length;
    for (const [size, status] of [[4096, 101], [4097, 413]]) {
      const client = await raw(t, server.port);
      client.write(upgradeRequest({ Cookie: 'c'.repeat(size - rest) }));
      assert.match(await client.until('\r\n\r\n'), new RegExp(`^HTTP/1\\.1 ${status} `));
    }
  });

  test('refuses what is no sound upgrade, and any subprotocol', async (t) => {
    const server = await php(t, 'event-loop.php');
    for (const [request, status] of [
      [PLAIN_GET, 426],
      [upgradeRequest({ 'Sec-WebSocket-Protocol': 'chat' }), 426],
      [upgradeRequest({ 'Sec-WebSocket-Version': '8' }), 426],
      [upgradeRequest({ 'Sec-WebSocket-Key': 'short' }), 400],
      [upgradeRequest({ Connection: 'close' }), 400],
      [upgradeRequest({}, 'POST / HTTP/1.1'), 405],
      [upgradeRequest({}, 'GET / HTTP/1.0'), 505],
      ['garbage\r\n\r\n', 400],
    ]) {
      const client = await raw(t, server.port);
      client.write(request);
      assert.match(await client.rest(), new RegExp(`^HTTP/1\\.1 ${status} `), request);
    }
  });

  test('answers pings, puts fragments together, echoes a close', async (t) => {
    const server = await php(t, 'event-loop.php');
    const [a, b] = [await join(t, server, '/'), await join(t, server, '/')];
    assert.equal(await a.ping('are you there?'), 'are you there?');
    a.socket.send('one ', { fin: false });
    a.socket.ping();
    await a.sendFragments('two ', 'three');
    assert.equal(await b.next(), 'one two three');
    await a.sendTogether('first', 'second', 'third');
    for (const text of ['first', 'second', 'third']) assert.equal(await b.next(), text);
    const large = 'x'.repeat(4 << 20);
    await a.send(large);
    assert.equal(await b.next(), large);
    assert.deepEqual(await a.close(4000, 'done'), { code: 4000, reason: 'done' });
  });

  test('keeps the law: 1002 for an unmasked frame, 1007 for text that is not UTF-8', async (t) => {
    const server = await php(t, 'event-loop.php');
    for (const [frame, code] of [
      [Buffer.from([0x81, 0x02, 0x68, 0x69]), 1002],
      [textFrame('hi', 0xc1), 1002],
      [textFrame('hi', 0x80), 1002],
      [Buffer.from([0x81, 0xfe, 0, 2, 0, 0, 0, 0, 0x68, 0x69]), 1002],
      [textFrame(Buffer.from([0xff])), 1007],
    ]) {
      const client = await raw(t, server.port);
      client.write(upgradeRequest());
      const before = (await client.until('welcome to /')).length;
      client.write(frame);
      await client.rest();
      const answer = client.received().subarray(before);
      assert.equal(answer[0], 0x88);
      assert.equal(answer.readUInt16BE(2), code, frame.toString('hex'));
    }
  });

  test('stays connected to Python, keepalive and all', async (t) => {
    const server = await php(t, 'event-loop.php');
    const client = await python(t, server.url, { interval: 0.1 });
    assert.equal(await client.next(), 'welcome to /');
    for (let i = 0; i < 3; i += 1) await client.keepalive();
    assert.equal((await client.close(1000)).code, 1000);
  });
});
