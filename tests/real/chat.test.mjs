// The chat page with the gateway's own hub: people who talk, lose their network, reload, call themselves otherwise and
// go to other rooms, and some who would like to run their script in other people's pages.

import assert from 'node:assert/strict';
import { setTimeout as time } from 'node:timers/promises';
import { after, before, describe, test } from 'node:test';
import { UNREACHED, dismissed, enter, guest, item, said, say, shows, state, wire } from './guest.mjs';
import { chromiumBrowser, configured, gateway, node } from './support.mjs';

const OUTAGE = 20_000; // milliseconds

let browser;
before(async () => { browser = await chromiumBrowser(); });
after(async () => { await browser?.close(); });

/** Answers the page's dialog: typed while it is still open, what follows would land in it. */
async function answer(page, words, { taken = true } = {}) {
  await page.fill('#sheet-field', words);
  await page.keyboard.press('Enter');
  if (taken) await dismissed(page);
}

/** Calls oneself otherwise by the page's dialog. */
async function rename(page, name, wishes) {
  await page.click('#rename');
  await answer(page, name, wishes);
}

/** A gateway whose hub has these keys. */
const hub = (t, keys) => configured(t, `
[tls]
self_signed = ["localhost"]
[[route]]
path = "/chat"
hub = { ${keys} }
`);

/** What people try who want their own script to run; each would set `window.ran`, or ask the page for something. */
const ATTACKS = [
  '<script>window.ran = 1</script>',
  '</title></textarea></script><script>window.ran = 2</script>',
  '<img src=x onerror="window.ran = 3">',
  '"><svg/onload=window.ran=4>',
  '<svg><script href="data:text/javascript,window.ran=5"/></svg>',
  '<math><mi xlink:href="javascript:window.ran=6">x</mi></math>',
  '<iframe srcdoc="<script>parent.ran=7</script>"></iframe>',
  '<a href="javascript:window.ran=8">click me</a>',
  'javascript:window.ran=9',
  'https://example.com/"onmouseover="window.ran=10',
  'http://javascript:alert(1)@example.com/%0Awindow.ran=11',
  'data:text/html,<script>window.ran=12</script>',
  '<template><img src=x onerror=window.ran=13></template>',
  '<style>@import "http://example.com/x.css"; body { display: none }</style>',
  '<link rel=stylesheet href=//example.com/x.css><base href=//example.com/>',
  '<form action=//example.com><button autofocus onfocus=window.ran=14>x',
  '<meta http-equiv=refresh content="0;url=javascript:window.ran=15">',
  '&lt;script&gt;window.ran=16&lt;/script&gt; &#60;img src=x onerror=window.ran=17&#62; &amp;lt;',
  '<details open ontoggle=window.ran=18>', '<video><source onerror=window.ran=19>',
  '<x contenteditable onblur=window.ran=20 tabindex=1>',
  '{{constructor.constructor("window.ran=21")()}} ${window.ran=22} `${window.ran=23}`',
  '\u202egnp.exe\u202c \u2066\u2067 right to left \u200b\u200d\ufeff',
  'a\u0301\u0302\u0303\u0304'.repeat(50), 'a\u2028b\u2029c', '__proto__', 'constructor', '{"type":"say","text":"x"}',
  '<!--', ']]>', '<![CDATA[<img src=x onerror=window.ran=24>]]>', '<img src=x onerror=\u0000window.ran=25>',
];

describe('people at the chat page', { concurrency: 3 }, () => {
  test('one loses the network for 20 seconds, and nothing is lost or said twice', async (t) => {
    const gate = await gateway(t);
    const cable = await wire(t, gate.port);
    const a = await guest(t, browser, `https://127.0.0.1:${cable.port}/chat`, { grumbles: UNREACHED });
    const b = await guest(t, browser, `${gate.page}/chat`);
    const words = [];
    const speak = async (page, text) => {
      words.push(text);
      await say(page, text);
      if (page === b) await shows(b, text);
    };
    await speak(a, 'a: before');
    await shows(b, 'a: before');
    await rename(a, 'Ada');
    await b.locator('#members button', { hasText: 'Ada' }).waitFor();
    // Said into a line that is cut before an answer can come.
    cable.cut();
    await state(a, 'waiting');
    const end = time(OUTAGE);
    for (let i = 0; i < 5; i += 1) await speak(b, `b: while a is away ${i}`);
    for (let i = 0; i < 3; i += 1) await speak(a, `a: into the void ${i}`);
    await a.locator('.unsent li', { hasText: 'a: into the void 2' }).waitFor();
    assert.deepEqual(await a.locator('.unsent .state').allTextContents(), Array(3).fill('Waiting to be sent'));
    await end;
    cable.mend();
    await a.click('#connect'); // a person who does not want to wait for the back-off
    await state(a, 'connected');
    for (const page of [a, b]) await shows(page, 'a: into the void 2');
    await speak(b, 'b: after');
    await shows(a, 'b: after');
    for (const page of [a, b]) assert.deepEqual(await said(page), words);
    assert.equal(await a.locator('.unsent li').count(), 0);
    assert.equal(await a.textContent('#my-name'), 'Ada');
    await b.locator('#members button', { hasText: 'Ada' }).waitFor();
    assert.equal(await a.locator('.divider', { hasText: 'missing' }).count(), 0);
  });

  test('a line that is cut and mended at once is taken up again by itself', async (t) => {
    const gate = await gateway(t);
    const cable = await wire(t, gate.port);
    const a = await guest(t, browser, `https://127.0.0.1:${cable.port}/chat`, { grumbles: UNREACHED });
    const b = await guest(t, browser, `${gate.page}/chat`);
    const words = [];
    for (let round = 0; round < 2; round += 1) {
      // In the same breath as the cut: whether it arrived, only the server knows.
      words.push(`a ${round}`);
      await say(a, `a ${round}`);
      cable.cut();
      await state(a, 'waiting');
      words.push(`b ${round}`);
      await say(b, `b ${round}`);
      await shows(b, `b ${round}`);
      cable.mend();
      await state(a, 'connected');
      await shows(b, `a ${round}`);
      await shows(a, `b ${round}`);
    }
    await a.locator('.unsent:not(:has(li))').first().waitFor({ state: 'attached' });
    assert.deepEqual((await said(a)).toSorted(), words.toSorted());
    assert.deepEqual(await said(b), await said(a));
  });

  test('a reload keeps the name, the draft, the rooms, and what was said', async (t) => {
    const gate = await gateway(t);
    const page = await guest(t, browser, `${gate.page}/chat`);
    const other = await guest(t, browser, `${gate.page}/chat`);
    await rename(page, 'Grace');
    await page.locator('#my-name', { hasText: 'Grace' }).waitFor();
    await say(page, 'said before');
    await shows(other, 'said before');
    await enter(page, 'garden');
    await page.fill('#text', 'not yet said');
    await page.reload();
    await state(page, 'connected');
    await page.locator('#room', { hasText: 'garden' }).waitFor();
    assert.equal(await page.inputValue('#text'), 'not yet said');
    assert.equal(await page.textContent('#my-name'), 'Grace');
    await page.click('#rooms a:has-text("lobby")');
    await shows(page, 'said before');
    await say(page, 'said after');
    await shows(other, 'said after');
    // The same person to the others: one speaks on, so the name is not drawn again.
    assert.equal(await item(other, 'said after').getAttribute('class'), 'message again');
    assert.equal(await other.locator('#members li').count(), 2);
  });

  test('a tab that goes on elsewhere stops; it does not fight for its session', async (t) => {
    const gate = await gateway(t);
    const first = await guest(t, browser, `${gate.page}/chat`);
    await say(first, 'from the first');
    await shows(first, 'from the first');
    const kept = await first.evaluate(() => JSON.stringify(sessionStorage));
    const second = await guest(t, browser, `${gate.page}/chat`, {
      // As a browser does it that duplicates a tab.
      before: (page) => page.addInitScript((kept) => {
        for (const [key, value] of Object.entries(JSON.parse(kept))) sessionStorage.setItem(key, value);
      }, kept),
    });
    await state(first, 'stopped');
    await shows(first, 'goes on in another tab');
    await say(second, 'from the second');
    await shows(second, 'from the second');
    assert.equal(await item(second, 'from the second').getAttribute('class'), 'message again', 'the same person');
    assert.equal(await second.textContent('#people-count'), '(1)');
  });

  test('a room with a password lets in who knows it, and again after a reload', async (t) => {
    const gate = await hub(t, 'fixed = [{ name = "vault", secret = "open sesame" }]');
    const page = await guest(t, browser, `${gate.page}/chat/vault`);
    await page.locator('dialog[open]', { hasText: 'vault has a password' }).waitFor();
    await answer(page, 'wrong', { taken: false });
    await page.locator('[role=alert]', { hasText: 'the password is not right' }).waitFor();
    await answer(page, 'open sesame');
    await say(page, 'treasure');
    await shows(page, 'treasure');
    await page.reload();
    await shows(page, 'treasure');
    assert.equal(await page.locator('dialog[open]').count(), 0);
  });

  test('a new name is seen by the others; one that is taken is refused in plain words', async (t) => {
    const gate = await gateway(t);
    const [a, b] = [await guest(t, browser, `${gate.page}/chat`), await guest(t, browser, `${gate.page}/chat`)];
    await rename(a, 'Ada <b>');
    await b.locator('#members button', { hasText: 'Ada <b>' }).waitFor();
    await shows(b, 'is called Ada <b> now');
    await say(a, 'with a name');
    await shows(b, 'with a name');
    assert.equal(await item(b, 'with a name').locator('.who').textContent(), 'Ada <b>');
    await rename(b, 'ADA <B>', { taken: false });
    await b.locator('[role=alert]', { hasText: 'somebody here is called that already' }).waitFor();
    await answer(b, 'User #1', { taken: false });
    await b.locator('[role=alert]', { hasText: 'nobody can be called that' }).waitFor();
    await b.keyboard.press('Escape');
    await dismissed(b);
  });

  test('two rooms at once: apart from each other, with what is unread, in the address and its history', async (t) => {
    const gate = await gateway(t);
    const [a, b] = [await guest(t, browser, `${gate.page}/chat`), await guest(t, browser, `${gate.page}/chat/garden`)];
    await enter(a, 'garden');
    assert.equal(a.url(), `${gate.page}/chat/garden`);
    await b.locator('#people-count', { hasText: '(2)' }).waitFor();
    await say(a, 'hello garden');
    await shows(b, 'hello garden');
    await a.goBack();
    await a.locator('#room', { hasText: 'lobby' }).waitFor();
    assert.equal(await item(a, 'hello garden').count(), 0);
    await say(b, 'one');
    await say(b, 'two');
    await a.locator('#rooms li', { hasText: 'garden' }).locator('.badge', { hasText: '2 unread' }).waitFor();
    assert.equal(await a.title(), '(2) lobby · wsgate chat');
    await a.click('#rooms a:has-text("garden")');
    await shows(a, 'two');
    assert.equal(await a.title(), 'garden · wsgate chat');
    assert.deepEqual(await a.locator('.scroller:not([hidden]) [role=log] li').allTextContents().then((all) => (
      all.map((text) => /one$|two$|New|garden$/.exec(text)?.[0]))), ['garden', 'New', 'one', 'two']);
    await a.click('[aria-label="Leave garden"]');
    await a.locator('#room', { hasText: 'lobby' }).waitFor();
    await b.locator('#people-count', { hasText: '(1)' }).waitFor();
  });

  test('a word to one person only is not heard by the others', async (t) => {
    const gate = await gateway(t);
    const [a, b, c] = await Promise.all(['a', 'b', 'c'].map(() => guest(t, browser, `${gate.page}/chat`)));
    const name = await b.textContent('#my-name');
    await a.locator('#members button', { hasText: name }).click();
    await a.click('text=Write to this person only');
    await a.locator('#privately', { hasText: `Only to ${name}` }).waitFor();
    await say(a, 'between you and me');
    await shows(b, 'to you only: between you and me');
    await shows(a, `to ${name} only: between you and me`);
    await say(a, 'to all of you');
    for (const page of [b, c]) await shows(page, 'to all of you');
    assert.equal(await item(c, 'between you').count(), 0);
  });

  test('what was said before is loaded by scrolling, and the reader keeps the place', async (t) => {
    const gate = await hub(t, 'history = 100');
    // More than the page asks for at once, by as many people as may say so much at once.
    const lines = Array.from({ length: 72 }, (_, i) => `line ${i}.`);
    for (let from = 0; from < lines.length; from += 18) {
      const client = await node(t, `${gate.url}/chat`);
      const some = lines.slice(from, from + 18);
      client.sendTogether(...some);
      while (!(await client.next()).endsWith(some.at(-1)));
    }
    const talker = await guest(t, browser, `${gate.page}/chat`);
    const late = await guest(t, browser, `${gate.page}/chat`);
    await shows(late, 'line 71.');
    assert.deepEqual(await said(late), lines.slice(-50));
    const scroller = late.locator('.scroller:not([hidden])');
    const far = () => scroller.evaluate((it) => it.scrollHeight - it.clientHeight - it.scrollTop);
    assert.ok(await far() < 2, 'a newcomer sees the end');
    await scroller.evaluate((it) => { it.scrollTop = 0; });
    await shows(late, 'line 0.');
    assert.deepEqual(await said(late), lines);
    const place = () => item(late, 'line 22.').evaluate((it) => it.getBoundingClientRect().top);
    const was = await place();
    assert.ok(was > 0 && was < 300, `what was read is where it was: ${was}`);
    await say(talker, 'something new');
    await late.locator('#newer', { hasText: '1 new message' }).waitFor();
    assert.equal(await place(), was, 'who reads above stays there');
    assert.equal(await late.title(), '(1) lobby · wsgate chat');
    await late.click('#newer');
    await late.locator('#newer').waitFor({ state: 'hidden' });
    assert.equal(await late.title(), 'lobby · wsgate chat');
  });

  test('what anybody writes is text, and stays text: in messages, names and the address', async (t) => {
    const gate = await gateway(t);
    const [a, b] = [await guest(t, browser, `${gate.page}/chat`), await guest(t, browser, `${gate.page}/chat`)];
    for (const [at, attack] of ATTACKS.entries()) {
      // A box of a page holds no carriage return and no NUL of its own making; the others go through as they are.
      await a.fill('#text', attack);
      await a.keyboard.press('Enter');
      await b.waitForFunction((count) => document.querySelectorAll('[role=log] .said').length === count, at + 1);
    }
    for (const page of [a, b]) {
      assert.deepEqual(await said(page), ATTACKS);
      const [markup, ran, links] = await page.evaluate(() => [
        [...document.querySelectorAll('[role=log] .said *')].map((it) => it.tagName).filter((name) => name !== 'A'),
        window.ran,
        [...document.querySelectorAll('[role=log] a')].map((it) => [it.protocol, it.rel, it.target, it.textContent])]);
      assert.deepEqual([markup, ran], [[], undefined]);
      assert.deepEqual(links, [
        ['https:', 'noopener noreferrer', '_blank', 'https://example.com/'],
        ['http:', 'noopener noreferrer', '_blank', 'http://example.com/x.css'],
      ]);
      await page.evaluate(() => document.querySelectorAll('[role=log] *').forEach((it) => {
        for (const kind of ['mouseover', 'focus', 'blur', 'toggle', 'error', 'load']) it.dispatchEvent(new Event(kind));
      }));
      assert.equal(await page.evaluate(() => window.ran), undefined);
    }
    for (const attack of ['<svg onload=window.ran=30>', '"><b>bold']) {
      await rename(a, attack);
      await b.locator('#members button', { hasText: attack }).waitFor();
    }
    assert.equal(await b.locator('#members svg, #members b, [role=log] svg, [role=log] b').count(), 0);
    assert.equal(await b.evaluate(() => window.ran), undefined);
    await enter(a, 'a b-c.d');
    assert.equal(a.url(), `${gate.page}/chat/a%20b-c.d`);
    await a.fill('#room-name', '<img src=x onerror=window.ran=31>');
    await a.click('#go button');
    await a.locator('#go-hint', { hasText: 'a room cannot be called that' }).waitFor();
  });

  test('what anybody writes could become nothing else: the browser itself forbids it', async (t) => {
    const gate = await gateway(t);
    // Not a guest, whose page may not complain.
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    t.after(() => context.close());
    const page = await context.newPage();
    const violations = [];
    await page.exposeFunction('told', (directive) => { violations.push(directive); });
    await page.addInitScript(() => {
      addEventListener('securitypolicyviolation', ({ effectiveDirective }) => window.told(effectiveDirective));
    });
    await page.goto(`${gate.page}/chat`);
    await state(page, 'connected');
    const thrown = await page.evaluate(() => [
      (it) => { it.innerHTML = '<b>markup</b>'; },
      (it) => { it.outerHTML = '<b>markup</b>'; },
      (it) => it.insertAdjacentHTML('beforeend', '<b>markup</b>'),
      (it) => it.setAttribute('onclick', 'window.ran = 1'),
      () => document.write('<b>markup</b>'),
      () => { document.createElement('script').src = 'https://example.com/x.js'; },
      () => { document.createElement('iframe').srcdoc = '<b>markup</b>'; },
      () => trustedTypes.createPolicy('mine', {}),
    ].map((attempt) => {
      try {
        return String(attempt(document.querySelector('#empty')));
      } catch (error) {
        return error.name;
      }
    }));
    assert.deepEqual(thrown, Array(8).fill('TypeError'));
    await page.evaluate(() => {
      const image = document.createElement('img');
      image.src = 'https://example.com/x.png';
      document.body.append(image, Object.assign(document.createElement('style'), { textContent: 'p { color: red }' }));
      fetch('https://example.com/').catch(() => {});
    });
    const wanted = ['connect-src', 'img-src', 'require-trusted-types-for', 'style-src-elem', 'trusted-types'];
    for (let i = 0; i < 50 && new Set(violations).size < wanted.length; i += 1) {
      await page.evaluate(() => new Promise(requestAnimationFrame));
    }
    assert.deepEqual([...new Set(violations)].toSorted(), wanted);
  });
});
