// The gateway as it comes, without a file or a certificate: the chat page in real browsers, and the echo route.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { browserClient, chromiumBrowser, gateway, node, python, visit, within } from './support.mjs';

const MEBIBYTE = 1 << 20;

let browser;
before(async () => { browser = await chromiumBrowser(); });
after(async () => { await browser?.close(); });

const state = (page, name) => page.locator(`#status[data-state=${name}]`).waitFor();
const shows = (page, text) => page.locator('#messages li', { hasText: text }).waitFor();

async function say(page, text) {
  await page.fill('#text', text);
  await page.click('#send');
}

/** Somebody who opens the front door and waits until the page is connected. */
async function visitor(t, gate) {
  const page = await visit(t, browser, `${gate.page}/`);
  await state(page, 'connected');
  return page;
}

describe('the chat page', () => {
  test('is where / leads, and lets two browsers chat', async (t) => {
    const gate = await gateway(t);
    const [a, b] = [await visitor(t, gate), await visitor(t, gate)];
    assert.equal(a.url(), `${gate.page}/chat`);
    await say(a, 'hello from a');
    await shows(b, 'hello from a');
    await shows(a, 'hello from a');
    await say(b, 'hällo from b ☺');
    await shows(a, 'hällo from b ☺');
    assert.equal(await a.locator('#messages li', { hasText: 'hello from a' }).count(), 1, 'once');
    assert.deepEqual([...a.complaints, ...b.complaints], []);
  });

  test('shows markup as the text it is', async (t) => {
    const gate = await gateway(t);
    const [a, b] = [await visitor(t, gate), await visitor(t, gate)];
    const markup = '<b class="smuggled">bold</b> & <img class="smuggled" src="x" onerror="window.smuggled = 1"> &lt;';
    await say(a, markup);
    for (const page of [a, b]) {
      await shows(page, markup);
      assert.equal(await page.locator('.smuggled').count(), 0);
      assert.equal(await page.evaluate(() => window.smuggled), undefined);
      assert.deepEqual(page.complaints, []);
    }
  });

  test('shows a newcomer what was said before, and keeps rooms apart', async (t) => {
    const gate = await gateway(t);
    const early = await visitor(t, gate);
    const elsewhere = await visit(t, browser, `${gate.page}/chat/elsewhere`);
    await state(elsewhere, 'connected');
    await say(early, 'said early');
    await shows(early, 'said early');
    const late = await visitor(t, gate);
    await shows(late, 'said early');
    await say(elsewhere, 'said elsewhere');
    await shows(elsewhere, 'said elsewhere');
    assert.equal(await elsewhere.locator('#messages li', { hasText: 'said early' }).count(), 0);
  });

  test('leaves and comes back by its button', async (t) => {
    const gate = await gateway(t);
    const [a, b] = [await visitor(t, gate), await visitor(t, gate)];
    await a.click('#connect');
    await state(a, 'stopped');
    await say(b, 'while a was out');
    await shows(b, 'while a was out');
    await a.click('#connect');
    await state(a, 'connected');
    await shows(a, 'while a was out');
    await say(a, 'back again');
    await shows(b, 'back again');
    assert.deepEqual([...a.complaints, ...b.complaints], []);
  });

  test('comes back by itself when the gateway restarts on the same port', async (t) => {
    const gate = await gateway(t);
    const [a, b] = [await visitor(t, gate), await visitor(t, gate)];
    await say(a, 'before');
    await shows(b, 'before');
    assert.deepEqual([...a.complaints, ...b.complaints], []);
    assert.deepEqual(await gate.stop(), { code: 0, signal: null });
    await Promise.all([state(a, 'waiting'), state(b, 'waiting')]);
    await gateway(t, [], { port: gate.port });
    await Promise.all([state(a, 'connected'), state(b, 'connected')]);
    await say(b, 'after');
    await shows(a, 'after');
    // Chromium itself reports an attempt that found nobody listening; the page has no say in that.
    const own = [...a.complaints, ...b.complaints].filter((text) => !/^WebSocket connection to .* failed/.test(text));
    assert.deepEqual(own, []);
  });
});

describe('the echo route', () => {
  test('answers Node: text, binary, fragments, 1 MiB, ping, close', async (t) => {
    const gate = await gateway(t);
    const client = await node(t, `${gate.url}/echo`);
    const [text, bytes] = ['grüße', Buffer.from([0, 255, 128, 10])];
    const [longText, longBytes] = ['x'.repeat(MEBIBYTE), Buffer.alloc(MEBIBYTE, 0xa5)];
    for (const message of ['', text, bytes, Buffer.alloc(0), longText, longBytes]) {
      await client.send(message);
      assert.deepEqual(await client.next(), message);
    }
    await client.sendFragments('one ', 'two ', 'three');
    assert.equal(await client.next(), 'one two three');
    await client.sendTogether('first', 'second', 'third');
    for (const message of ['first', 'second', 'third']) assert.equal(await client.next(), message);
    assert.equal(await client.ping('are you there?'), 'are you there?');
    assert.deepEqual(await client.close(4000, 'done', 1000), { code: 4000, reason: 'done' });
  });

  test('tells Node 1009 when a message is over the limit', async (t) => {
    const gate = await gateway(t);
    const client = await node(t, `${gate.url}/echo`);
    await client.send(Buffer.alloc(MEBIBYTE + 1));
    assert.equal((await within(client.closed, 'a close')).code, 1009);
  });

  test('answers Python: text, binary, fragments, 1 MiB, ping, keepalive, close', async (t) => {
    const gate = await gateway(t);
    const client = await python(t, `${gate.url}/echo`);
    for (const message of ['grüße', Buffer.from([0, 255, 128, 10]), 'x'.repeat(MEBIBYTE), Buffer.alloc(MEBIBYTE, 1)]) {
      await client.send(message);
      assert.deepEqual(await client.next(), message);
    }
    await client.sendFragments('one ', 'two ', 'three');
    assert.equal(await client.next(), 'one two three');
    assert.equal(await client.ping('are you there?'), 'are you there?');
    await client.keepalive();
    const { code, received } = await client.close(1000, 'bye');
    assert.deepEqual({ code, received }, { code: 1000, received: 1000 });
  });

  test('answers a browser: text, binary, 1 MiB, close', async (t) => {
    const gate = await gateway(t);
    const client = await browserClient(t, browser, gate, '/echo');
    for (const message of ['grüße', Buffer.from([0, 255, 128, 10]), 'x'.repeat(MEBIBYTE)]) {
      await client.send(message);
      assert.deepEqual(await client.next(), message);
    }
    assert.deepEqual(await client.close(4000, 'done'), { code: 4000, reason: 'done' });
  });
});
