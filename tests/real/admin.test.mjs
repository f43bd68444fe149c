// The page of the admin door in Chromium, with a gateway that serves: what it shows and does, to whom, and what it says
// when there is no token, a wrong one, or no answer.

import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { guest } from './guest.mjs';
import { pale, slim, small, tiny, wide } from './legible.mjs';
import { PATIENCE, chromiumBrowser, configured, echoServer, file, node, untilMetric, within } from './support.mjs';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const TOKEN = 'one that opens the desk';
const KEY = 'wsgate admin token';
const SIZES = { phone: { width: 360, height: 740, hasTouch: true }, desk: { width: 1280, height: 800 } };
const NASTY = '<img src=x onerror="window.ran=1">';
/** What Chromium itself reports of an answer that is no success; the page has no say in that. */
const REFUSED = /the server responded with a status of 4\d\d/;

let browser;
before(async () => { browser = await chromiumBrowser(); });
after(async () => { await browser?.close(); });

/** A gateway with a hub, an echo and two backends in a pool, and its door; `token: null` for one without a token. */
async function serve(t, { token = TOKEN } = {}) {
  const backend = () => echoServer(t, 'node', [path.join(HERE, '../autobahn/echo_ws.cjs'), HERE]);
  const [one, two] = await Promise.all([backend(), backend()]);
  const line = token && `token_file = "${await file(t, 'admin.token', token)}"`;
  const gate = await configured(t, `
workers = 1
drain_pace = "1000/s"
[tls]
self_signed = ["localhost"]
[admin]
listen = "127.0.0.1:0"
${line ?? ''}
[[route]]
path = "/chat"
hub = { page = true, room_names = ".*" }
[[route]]
path = "/echo"
echo = {}
[[route]]
path = "/app"
proxy = { pool = "app" }
[pool.app]
backends = ["${one.url}", "${two.url}"]
balance = "round_robin"
`);
  await untilMetric(gate, 'wsgate_panics_total', 0); // the door is known from now on
  return { gate, backends: [one.url, two.url] };
}

/** Somebody at the door's page, with the token in the tab unless told otherwise, and the first figures there. */
async function operator(t, gate, { view = 'overview', token = TOKEN, wait = 'live', before, ...wishes } = {}) {
  const give = async (page) => {
    await before?.(page);
    // Once: what the page then forgets is forgotten.
    if (token) await page.addInitScript(([key, token]) => {
      if (window.name === '') sessionStorage.setItem(key, token);
      window.name = 'given';
    }, [KEY, token]);
  };
  const page = await guest(t, browser, `${gate.door}/#${view}`, { ...wishes, before: give, wait: null });
  if (wait) await page.locator(`#pulse[data-state=${wait}]`).waitFor();
  return page;
}

const row = (page, text) => page.locator('tbody tr:visible', { hasText: text });
const tile = (page, name) => page.locator('#tiles div', { has: page.locator('dt', { hasText: name }) }).locator('dd').first();
const ids = (page) => page.locator('#list td:first-child button').allTextContents();
const open = (t, gate, route, options) => node(t, `${gate.url}${route}`, options);

// Most of the time is spent waiting for the next look: side by side that is no longer than one of them.
describe('the page of the admin door', { concurrency: 4 }, () => {
  describe('what is open, and what passes', { concurrency: 1 }, () => {
    test('figures, plots, a table that is filtered, sorted and paged; one is looked at and closed', async (t) => {
      const { gate } = await serve(t);
      const [first, second] = [await open(t, gate, '/echo'), await open(t, gate, '/app')];
      const third = await open(t, gate, '/echo', { localAddress: '127.0.0.7' });
      await second.send('x'.repeat(5000));
      await second.next();
      await assert.rejects(open(t, gate, '/echo', { origin: 'https://elsewhere.example' }));
      const page = await operator(t, gate);
      await tile(page, 'Open').getByText('3', { exact: true }).waitFor();
      await tile(page, 'Refused').getByText('1', { exact: true }).waitFor();
      await page.locator('.plot', { hasText: 'by route' }).locator('li', { hasText: '/echo 2' }).waitFor();
      await page.locator('#troubles', { hasText: 'All is well' }).waitFor();
      // A second look is needed for what is told by the second.
      await third.send('hello');
      const rate = page.locator('.plot', { hasText: 'Messages' }).locator('li', { hasText: /^in [^–]/ });
      await rate.waitFor();

      await page.click('nav >> text=Connections');
      await page.locator('#found', { hasText: '3 connections' }).waitFor();
      const all = await ids(page);
      assert.deepEqual(all.map(Number), [...all].map(Number).sort((a, b) => a - b), 'by number');
      await page.click('th >> text=Bytes out');
      await page.locator('th[aria-sort=descending]', { hasText: 'Bytes out' }).waitFor();
      const most = page.locator('#list tbody tr').first();
      await most.getByText(/^ws:/).waitFor();
      await page.fill('#f-route', '/echo');
      await page.fill('#f-address', '127.0.0.7/32');
      await page.keyboard.press('Enter');
      await page.locator('#found', { hasText: /^1 connection$/ }).waitFor();
      assert.match(page.url(), /#connections\?route=%2Fecho&address=127.0.0.7%2F32&sort=-bytes_out$/);
      await row(page, '127.0.0.7').waitFor();
      await page.goBack();
      await page.locator('#found', { hasText: '3 connections' }).waitFor();
      assert.equal(await page.inputValue('#f-route'), '');

      await page.locator('#list td:first-child button').first().click();
      await page.locator('#sheet dd', { hasText: /^ws:/ }).waitFor();
      await page.locator('#sheet dd', { hasText: '1 message, 4.88 KiB' }).first().waitFor();
      await page.fill('#sheet-code', '4001');
      await page.fill('#sheet-reason', 'be nice');
      await page.click('#sheet button.grave');
      assert.deepEqual(await within(second.closed, 'the close'), { code: 4001, reason: 'be nice' });
      await page.locator('#banner', { hasText: 'was told to go, with 4001' }).waitFor();
      await page.locator('#found', { hasText: '2 connections' }).waitFor();

      await page.fill('#f-address', '127.0.0.7');
      await page.keyboard.press('Enter');
      await page.locator('#found', { hasText: /^1 connection$/ }).waitFor();
      await page.click('#close-all');
      await page.locator('#sheet li', { hasText: 'address 127.0.0.7' }).waitFor();
      await page.click('#sheet button.grave');
      assert.deepEqual(await within(third.closed, 'the close'), { code: 1008, reason: 'closed by the operator' });
      await page.locator('#banner', { hasText: '1 connection told to go' }).waitFor();
      assert.equal(first.socket.readyState, 1, 'nobody else was closed');
    });

    test('a page at a time, in the order that is asked for; what the door does not take is told', async (t) => {
      const { gate } = await serve(t);
      for (let i = 0; i < 55; i += 1) await open(t, gate, '/echo');
      const page = await operator(t, gate, { view: 'connections', grumbles: REFUSED });
      await page.locator('#found', { hasText: '55 connections, 1 to 50 shown' }).waitFor();
      const before = await ids(page);
      await page.click('#later');
      await page.locator('#found', { hasText: '55 connections, 51 to 55 shown' }).waitFor();
      assert.equal((await ids(page)).length, 5);
      assert.equal(await page.locator('#later').isDisabled(), true);
      await page.click('#earlier');
      await page.locator('#found', { hasText: '1 to 50' }).waitFor();
      assert.deepEqual(await ids(page), before);
      await page.click('th >> text=Id');
      await page.locator('th[aria-sort=descending]', { hasText: 'Id' }).waitFor();
      await page.locator('#list tbody tr').nth(49).waitFor();
      const last = String(Number(before[0]) + 54);
      await page.locator('#list tbody tr').first().locator('button', { hasText: new RegExp(`^${last}$`) }).waitFor();
      let asked = 0;
      page.on('request', (request) => { asked += request.url().includes('older_than=long') ? 1 : 0; });
      await page.fill('#f-older', 'long');
      await page.keyboard.press('Enter');
      await page.locator('#found', { hasText: '"older_than" is missing or not what it should be' }).waitFor();
      await page.click('#hold');
      await page.click('#hold');
      await page.locator('#pulse[data-state=live]').waitFor();
      assert.equal(asked, 1, 'it is not asked again');
      await page.click('#f-clear');
      await page.locator('#found', { hasText: '55 connections' }).waitFor();
    });

    test('one that ends while it is looked at is told to have ended', async (t) => {
      const { gate } = await serve(t);
      const client = await open(t, gate, '/echo');
      const page = await operator(t, gate, { view: 'connections', grumbles: REFUSED });
      await page.locator('#list td:first-child button').click();
      await page.locator('#sheet dd', { hasText: '/echo' }).waitFor();
      await client.close();
      await page.locator('#sheet', { hasText: 'It ended after' }).waitFor();
      assert.equal(await page.locator('#sheet button.grave').isDisabled(), true);
      await page.keyboard.press('Escape');
      await page.locator('.empty', { hasText: 'none of that kind' }).waitFor();
    });
  });

  describe('what is taken out', { concurrency: 1 }, () => {
    test('a backend and a route are drained and undrained; the gateway only after a word', async (t) => {
      const { gate, backends: [one] } = await serve(t);
      const clients = [await open(t, gate, '/app'), await open(t, gate, '/app')];
      const page = await operator(t, gate, { view: 'backends', grumbles: /net::ERR_/ });
      await row(page, one).getByText('usable').waitFor();
      await page.click(`[aria-label="Drain ${one}"]`);
      await page.locator('#sheet', { hasText: '1012' }).waitFor();
      await page.click('#sheet button.grave');
      const { code } = await within(Promise.race(clients.map(({ closed }) => closed)), 'the close of one of both');
      assert.equal(code, 1012);
      await row(page, one).getByText('nobody is left').waitFor();
      await page.click('nav >> text=Overview');
      await page.locator('#troubles [data-kind=busy]', { hasText: `Backend ${one} is drained` }).waitFor();
      await page.click('nav >> text=Backends');
      await page.click(`[aria-label="Undrain ${one}"]`);
      await row(page, one).getByText('usable').waitFor();

      await page.fill('#route-name', '/echo');
      await page.keyboard.press('Enter');
      await page.click('#sheet button.grave');
      await row(page, '/echo').getByText('nobody is left').waitFor();
      await assert.rejects(open(t, gate, '/echo'));
      await page.click('[aria-label="Undrain /echo"]');
      await page.locator('#banner', { hasText: '/echo gets sessions again' }).waitFor();
      await open(t, gate, '/echo');

      await page.click('#drain-gateway');
      await page.click('#sheet button.grave');
      assert.equal(await page.locator('#sheet[open]').count(), 1, 'without the word it is not done');
      await page.fill('#sheet-word', 'drain');
      const ended = within(gate.exited, 'the end of the gateway');
      await page.click('#sheet button.grave');
      await page.locator('#banner', { hasText: /draining|does not answer|broke off/ }).waitFor();
      assert.deepEqual(await ended, { code: 0, signal: null });
      await page.locator('#pulse[data-state=waiting]', { hasText: 'again in' }).waitFor();
    });
  });

  describe('who is shown what', { concurrency: 1 }, () => {
    test('counts to everybody, the rest to whoever has the token; it stays in the tab, and out of addresses', async (t) => {
      const { gate } = await serve(t);
      await open(t, gate, '/echo');
      const page = await operator(t, gate, { token: null, grumbles: REFUSED });
      const asked = [];
      page.on('request', (request) => asked.push(request.url()));
      await tile(page, 'Open').getByText('1', { exact: true }).waitFor();
      await page.click('nav >> text=Connections');
      assert.equal(await page.locator('#filter').isVisible(), false);
      for (const wrong of ['not the token of this door', 'ключ, which no header takes']) {
        await page.fill('#token', wrong);
        await page.keyboard.press('Enter');
        await page.locator('#key-trouble', { hasText: 'That is not the token.' }).waitFor();
      }
      assert.equal(await page.evaluate((key) => sessionStorage.getItem(key), KEY), null);
      await page.fill('#token', TOKEN);
      await page.keyboard.press('Enter');
      await page.locator('#found', { hasText: '1 connection' }).waitFor();
      await page.reload();
      await page.locator('#found', { hasText: '1 connection' }).waitFor();
      const kept = await page.evaluate(() => [{ ...sessionStorage }, { ...localStorage }, document.cookie, location.href]);
      assert.deepEqual(kept, [{ [KEY]: TOKEN }, {}, '', `${gate.door}/#connections`]);
      await page.click('#forget');
      await page.locator('#token').waitFor();
      assert.deepEqual(await page.evaluate(() => ({ ...sessionStorage })), {});
      assert.deepEqual(asked.filter((url) => /opens|token/.test(decodeURIComponent(url))), []);
    });

    test('a token that is taken no more is asked for anew', async (t) => {
      const { gate } = await serve(t);
      const page = await operator(t, gate, { view: 'rooms', token: 'one that was good yesterday', wait: null, grumbles: REFUSED });
      await page.locator('#key-trouble', { hasText: 'not taken any more' }).waitFor();
      await page.fill('#token', TOKEN);
      await page.keyboard.press('Enter');
      await row(page, '/chat').waitFor();
    });

    test('without a token in the configuration it says what to set, and shows the counts', async (t) => {
      const { gate } = await serve(t, { token: null });
      const page = await operator(t, gate, { token: null, view: 'backends' });
      await page.locator('#no-key', { hasText: 'token_file = ' }).waitFor();
      assert.equal(await page.locator('#token').isVisible(), false);
      await page.click('nav >> text=Overview');
      await tile(page, 'Open').getByText('0', { exact: true }).waitFor();
    });

    test('nothing that anybody has written becomes markup, and no other page may hold this one', async (t) => {
      const { gate } = await serve(t);
      const rooms = [NASTY, 'a&lt;b <i>שלום'];
      for (const room of rooms) await open(t, gate, `/chat/${encodeURIComponent(room)}`, { headers: { 'User-Agent': NASTY } });
      await open(t, gate, `/echo?${encodeURIComponent(NASTY)}`, { headers: { Host: `localhost`, 'X-Forwarded-For': NASTY } });
      await assert.rejects(open(t, gate, `/echo`, { origin: `https://x/${NASTY}` }));
      const page = await operator(t, gate, { view: 'rooms', grumbles: /TrustedHTML/ });
      for (const room of rooms) await row(page, room).waitFor();
      await page.goto(`${gate.door}/#connections?route=${encodeURIComponent(NASTY)}&backend=${encodeURIComponent(NASTY)}`);
      await page.locator('#found', { hasText: '0 connections' }).waitFor();
      assert.equal(await page.inputValue('#f-route'), NASTY);
      await page.click('nav >> text=Backends');
      await page.fill('#route-name', NASTY);
      await page.keyboard.press('Enter');
      await page.locator('#sheet-title', { hasText: NASTY }).waitFor();
      await page.keyboard.press('Escape');
      // And where the door itself should lie.
      await page.route('**/connections?*', (route) => route.fulfill({ json: { count: 1, missing: 0, more: false, connections: [{
        id: NASTY, route: NASTY, address: NASTY, host: NASTY, tls: NASTY, backend: NASTY, age_seconds: NASTY, idle_seconds: 1,
        frames_in: NASTY, frames_out: 1, bytes_in: 1, bytes_out: 1, queued_bytes: NASTY, ending: NASTY, held: false,
      }] } }));
      await page.click('nav >> text=Connections');
      await page.click('#f-clear');
      await row(page, NASTY).waitFor();
      assert.equal(await page.locator('img').count(), 0);
      assert.equal(await page.evaluate(() => window.ran), undefined);
      // Not even this page's own code could make markup of a text.
      const tried = await page.evaluate(() => {
        try {
          document.body.innerHTML = '<p>';
          return 'taken';
        } catch (error) {
          return error.name;
        }
      });
      assert.equal(tried, 'TypeError');
      await page.waitForFunction(() => globalThis.violations.length > 0);
      await page.evaluate(() => globalThis.violations.splice(0)); // that one was asked for
    });
  });

  describe('how often it asks', { concurrency: 1 }, () => {
    test('not while nobody looks or it is held; less and less often while there is no answer, which it says', async (t) => {
      const { gate } = await serve(t);
      let [asked, answered, mute] = [0, 0, false];
      const before = async (page) => {
        await page.clock.install();
        await page.addInitScript(() => {
          window.told = [];
          const note = () => {
            const text = document.querySelector('#pulse')?.textContent;
            if (text && text !== window.told.at(-1)) window.told.push(text);
          };
          new MutationObserver(note).observe(document, { subtree: true, childList: true, characterData: true });
        });
        await page.route('**/metrics', (route) => (mute ? route.abort() : route.fallback()));
        const is = (request, count) => request.url().endsWith('/metrics') && count();
        page.on('request', (request) => is(request, () => { asked += 1; }));
        for (const end of ['requestfinished', 'requestfailed']) page.on(end, (request) => is(request, () => { answered += 1; }));
      };
      const page = await operator(t, gate, { before, grumbles: /net::ERR_FAILED/ });
      // From now on time stands still, but for what the test lets pass.
      await page.clock.pauseAt(Date.now() + 3_600_000);
      const idle = async () => { do await page.evaluate(() => 0); while (asked !== answered); };
      /** Lets so many seconds pass; how often it has asked. */
      const pass = async (seconds) => {
        await idle();
        const before = asked;
        await page.clock.runFor(seconds * 1000);
        await idle();
        return asked - before;
      };
      const shown = (state) => page.locator(`#pulse[data-state=${state}]`).waitFor();
      const untilAsked = async (what) => {
        const end = Date.now() + PATIENCE;
        while (await pass(1) === 0) assert.ok(Date.now() < end, what);
      };
      const hide = (hidden) => page.evaluate((hidden) => {
        Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
      }, hidden);
      await shown('live');
      await untilAsked('it asks');
      await hide(true);
      assert.equal(await pass(600), 0, 'nobody looks');
      await hide(false);
      await untilAsked('it asks again');
      await page.click('#hold');
      await shown('held');
      assert.equal(await pass(600), 0, 'it is held');
      await page.click('#hold');
      await shown('live');
      mute = true;
      await untilAsked('it asks on');
      await page.locator('#banner', { hasText: 'it does not answer. What is shown is how it was.' }).waitFor();
      const waits = () => page.evaluate(() => window.told.filter((text, at) => (
        /again in/.test(text) && !/again in/.test(window.told[at - 1]))).map((text) => parseInt(text.match(/\d+/), 10)));
      for (const end = Date.now() + PATIENCE; (await waits()).length < 6;) {
        assert.ok(Date.now() < end, `${await waits()}`);
        await pass(4);
      }
      assert.deepEqual((await waits()).slice(0, 6), [2, 4, 8, 16, 30, 30]);
      mute = false;
      await untilAsked('it tries again');
      await shown('live');
      await page.locator('#banner').waitFor({ state: 'hidden' });
    });

    test('a page that is left open keeps no more than five minutes, and makes nothing anew', async (t) => {
      const { gate } = await serve(t);
      await open(t, gate, '/echo');
      const skewed = () => {
        const [now, skew] = [Date.now, { ms: 0 }];
        Date.now = () => now() + skew.ms;
        window.skip = (ms) => { skew.ms += ms; };
      };
      const page = await operator(t, gate, { before: (page) => page.addInitScript(skewed) });
      const session = await page.context().newCDPSession(page);
      /** So many looks, twenty seconds apart: five minutes are fifteen of them. */
      const pass = async (looks) => {
        for (let i = 0; i < looks; i += 1) {
          const heard = page.waitForEvent('requestfinished', (request) => request.url().endsWith('/drain'));
          await page.evaluate(() => {
            window.skip(20_000);
            ['held', 'let go'].forEach(() => document.querySelector('#hold').click());
          });
          await heard;
        }
        const drawn = await page.locator('#plots path').evaluateAll((all) => (
          Math.max(...all.map((it) => it.getAttribute('d').length))));
        await session.send('HeapProfiler.collectGarbage');
        const { jsEventListeners, nodes } = await session.send('Memory.getDOMCounters');
        return { jsEventListeners, nodes, drawn };
      };
      const early = await pass(20);
      const late = await pass(40);
      assert.ok(early.drawn > 50, 'there is a history');
      assert.ok(late.nodes <= early.nodes + 20, `${late.nodes} nodes, from ${early.nodes}`);
      assert.ok(late.jsEventListeners <= early.jsEventListeners + 5, `${late.jsEventListeners} listeners`);
      assert.ok(late.drawn <= early.drawn * 1.3, `${late.drawn} characters of a plot, from ${early.drawn}`);
    });
  });

  describe('it is legible and within reach', { concurrency: 2 }, () => {
    for (const [size, { width, height, ...wishes }] of Object.entries(SIZES)) {
      for (const colorScheme of ['light', 'dark']) {
        test(`on a ${size}, ${colorScheme}`, async (t) => {
          const { gate } = await serve(t);
          await open(t, gate, '/app');
          await open(t, gate, `/chat/${'long'.repeat(12)}`);
          const page = await operator(t, gate, { viewport: { width, height }, colorScheme, ...wishes });
          const look = async (where) => {
            for (const check of [small, pale, wide, size === 'phone' ? slim : tiny]) {
              assert.deepEqual(await page.evaluate(check), [], `${where}: ${check.name}`);
            }
            const session = await page.context().newCDPSession(page);
            const { nodes } = await session.send('Accessibility.getFullAXTree');
            const roles = ['button', 'link', 'textbox', 'combobox', 'table', 'navigation', 'search', 'dialog', 'region'];
            const heard = nodes.filter(({ ignored, role }) => !ignored && roles.includes(role?.value));
            assert.deepEqual(heard.filter(({ name }) => !name?.value.trim()).map(({ role }) => role.value), [], where);
            return heard.map(({ role, name }) => `${role.value} ${name.value}`);
          };
          const has = (heard, ...names) => names.forEach((name) => (
          assert.ok(heard.includes(name), `${name} is not among ${heard}`)));
          await page.locator('.plot li', { hasText: '/app 1' }).waitFor();
          has(await look('the overview'), 'navigation Views', 'link Connections', 'button Pause');
          await page.click('nav >> text=Connections');
          await page.locator('#found', { hasText: '2 connections' }).waitFor();
          has(await look('the connections'), 'search Which connections', 'table Open WebSockets', 'button Next');
          await page.locator('#list td:first-child button').first().click();
          await page.locator('#sheet dd', { hasText: '/app' }).waitFor();
          has(await look('the dialog'), 'combobox Close code', 'textbox Reason', 'button Close this connection');
          await page.keyboard.press('Escape');
          await page.click('nav >> text=Backends');
          await page.locator('#pools table').waitFor();
          has(await look('the backends'), 'table Backends of app', 'button Drain the gateway…');
          await page.click('nav >> text=Rooms');
          await row(page, 'longlong').waitFor();
          await look('the rooms');
          await page.evaluate(() => sessionStorage.clear());
          await page.reload();
          await page.locator('#token').waitFor();
          has(await look('the token'), 'button Open');
          const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
          const [red] = ground.match(/\d+/g).map(Number);
          assert.equal(red > 128, colorScheme === 'light');
        });
      }
    }

    test('by keyboard alone, with the focus in view', async (t) => {
      const { gate } = await serve(t);
      const client = await open(t, gate, '/echo');
      const page = await operator(t, gate);
      const focus = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent);
      const press = async (...keys) => { for (const key of keys) await page.keyboard.press(key); };
      await press('Tab');
      assert.equal(await focus(), 'Skip to the figures');
      await press('Enter');
      assert.equal(await focus(), 'main');
      await press('Tab');
      assert.equal(await focus(), 'plots');
      await press('ArrowLeft');
      await page.locator('#plots-hint', { hasText: / ago\.$/ }).waitFor();
      await press('Escape');
      await page.locator('#plots-hint', { hasText: 'The last five minutes' }).waitFor();
      await page.focus('nav a:nth-child(2)');
      const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineWidth);
      assert.ok(parseFloat(outline) >= 2, outline);
      await press('Enter');
      await page.locator('#list tbody tr').waitFor();
      const id = page.locator('#list td:first-child button');
      await id.focus();
      await press('Enter');
      await page.locator('#sheet dd', { hasText: '/echo' }).waitFor();
      assert.equal(await focus(), 'sheet-code');
      await press('Tab');
      await page.keyboard.type('so long');
      await press('Enter');
      assert.deepEqual(await within(client.closed, 'the close'), { code: 1008, reason: 'so long' });
      await page.locator('#banner', { hasText: 'was told to go' }).waitFor();
    });
  });
});
