// A moderator at the chat page, with the gateway's own hub: whoever has a token that says so puts others out, lets them in
// again, silences them and makes all forget what they said. Two windows, and what each of them shows.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { UNREACHED, guest, item, say, shows, state } from './guest.mjs';
import { chromiumBrowser, configured, file } from './support.mjs';

const SECRET = 'whoever has this can say who is a moderator';

let browser;
before(async () => { browser = await chromiumBrowser(); });
after(async () => { await browser?.close(); });

/** A token that is good for ten minutes. */
function token(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = Math.floor(Date.now() / 1000) + 600;
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ exp, ...claims })}`;
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`;
}

/** A gateway whose hub asks for a token, as a cookie: that is how a page brings one. */
async function hub(t) {
  return configured(t, `
[tls]
self_signed = ["localhost"]
[[route]]
path = "/chat"
hub = {}
auth = { kind = "jwt", algorithms = ["HS256"], secret_file = "${await file(t, 'secret', SECRET)}", token = "cookie:token" }
`);
}

/** Somebody at the page with a token of these claims. */
function come(t, gate, claims) {
  const cookie = { name: 'token', value: token(claims), url: gate.page };
  const before = (page) => page.context().addCookies([cookie]);
  // When a test is over, the gateway may end before the page does.
  return guest(t, browser, `${gate.page}/chat`, { grumbles: UNREACHED, before });
}

/** Two windows, which know of one another: a moderator's, and somebody else's. */
async function two(t, claims = { name: 'Ann' }) {
  const gate = await hub(t);
  const boss = await come(t, gate, { name: 'Boss', moderator: true });
  const other = await come(t, gate, claims);
  const name = await other.textContent('#my-name');
  await boss.locator('#members button', { hasText: name }).waitFor();
  return { boss, other, name };
}

/** Does it in the dialog of this member; it closes when the hub has agreed. */
async function about(boss, name, verb, { reason = '', time = '3600' } = {}) {
  await boss.locator('#members button', { hasText: name }).click();
  await boss.fill('#sheet-reason', reason);
  await boss.selectOption('#sheet-span', time);
  await boss.click(`dialog >> text="${verb}"`);
  await boss.locator('dialog[open]').waitFor({ state: 'hidden' });
}

const barred = (page, text) => page.locator('#barred', { hasText: text }).waitFor();
const people = (page, count) => page.locator('#people-count', { hasText: `(${count})` }).waitFor();

/** Tries to come in again, and is in. */
async function again(page, boss) {
  await page.click('#rejoin');
  await page.locator('#text').waitFor();
  await people(boss, 2);
}

describe('a moderator at the chat page', { concurrency: 3 }, () => {
  test('has a menu that others do not have, and makes all forget a message', async (t) => {
    const { boss, other } = await two(t);
    assert.equal(await boss.locator('#moderate').isVisible(), true);
    assert.equal(await other.locator('#moderate').isVisible(), false);
    await say(other, 'rude words');
    for (const page of [boss, other]) await shows(page, 'rude words');
    assert.equal(await other.locator('.more').count(), 0);
    await boss.click('[aria-label="Message by Ann: what to do"]');
    await boss.click('text=Delete this message');
    for (const page of [boss, other]) await item(page, 'rude words').waitFor({ state: 'detached' });
    await other.reload();
    await state(other, 'connected');
    await say(other, 'mild words');
    await shows(other, 'mild words');
    assert.equal(await item(other, 'rude words').count(), 0, 'it is not in the history either');
  });

  test('mutes somebody, and hears them again', async (t) => {
    const { boss, other, name } = await two(t);
    await about(boss, name, 'Mute', { reason: 'be quiet', time: '600' });
    await shows(other, 'A moderator has muted you in this room.');
    await say(other, 'not heard');
    await other.locator('.unsent', { hasText: 'Not sent: a moderator has muted you' }).waitFor();
    await about(boss, name, 'Unmute');
    await shows(other, 'You may write in this room again.');
    await other.click('.unsent button:has-text("Send again")');
    await shows(boss, 'not heard');
    await boss.locator('#members button', { hasText: name }).click();
    await boss.click('dialog >> text="Unmute"');
    await boss.locator('[role=alert]', { hasText: 'this person is not muted' }).waitFor();
  });

  test('puts somebody out, who may come back', async (t) => {
    const { boss, other, name } = await two(t);
    await about(boss, name, 'Put out of the room', { reason: 'be kind' });
    await barred(other, 'You were put out of this room by a moderator. The moderator said: be kind');
    assert.equal(await other.locator('#text').isVisible(), false);
    await people(boss, 1);
    await again(other, boss);
    await say(other, 'back again');
    await shows(boss, 'back again');
  });

  test('bans somebody, and lets them in again, from the list or by name', async (t) => {
    const { boss, other, name } = await two(t);
    for (const free of [
      () => boss.getByRole('button', { name: 'Let Ann in again' }).click(),
      async () => {
        await boss.fill('#sheet-name', 'Nobody');
        await boss.keyboard.press('Enter');
        await boss.locator('[role=alert]', { hasText: 'nobody of this name is banned from this room' }).waitFor();
        await boss.fill('#sheet-name', ' ANN ');
        await boss.keyboard.press('Enter');
      },
    ]) {
      await about(boss, name, 'Ban');
      await barred(other, 'You were put out of this room by a moderator.');
      await other.click('#rejoin');
      await barred(other, 'You cannot enter this room: a moderator has closed this room to you.');
      await boss.focus('#moderate');
      await boss.keyboard.press('Enter');
      await free();
      await boss.locator('dialog[open]').waitFor({ state: 'hidden' });
      assert.equal(await boss.evaluate(() => document.activeElement.id), 'moderate', 'the focus is back');
      await again(other, boss);
    }
    await boss.click('#moderate');
    assert.equal(await boss.locator('dialog button', { hasText: 'in again' }).count(), 0);
  });

  test('lets somebody in again who has no name, and after a reload', async (t) => {
    const { boss, other, name } = await two(t, {});
    assert.match(name, /^User #\d+$/);
    await about(boss, name, 'Ban');
    await barred(other, 'You were put out');
    await boss.reload();
    await state(boss, 'connected');
    await boss.click('#moderate');
    await boss.getByRole('button', { name: `Let ${name} in again` }).click();
    await boss.locator('dialog[open]').waitFor({ state: 'hidden' });
    await again(other, boss);
  });

  test('slows the room down, and makes it as fast as it was', async (t) => {
    const { boss, other } = await two(t);
    const pace = async (from, to) => {
      await boss.click('#moderate');
      assert.equal(await boss.inputValue('#sheet-pace'), from);
      await boss.selectOption('#sheet-pace', to);
      await boss.click('dialog >> text="Set"');
      await boss.locator('dialog[open]').waitFor({ state: 'hidden' });
    };
    await pace('0', '3600');
    for (const page of [boss, other]) await shows(page, 'Slow mode: everybody may write once in 1 hour.');
    assert.equal(await other.getAttribute('#text', 'placeholder'), 'Write a message (once in 1 hour)');
    await say(other, 'the first');
    await shows(boss, 'the first');
    await say(other, 'the second');
    await other.locator('.unsent', { hasText: 'the room is in slow mode' }).waitFor();
    for (const text of ['not so', 'for moderators']) {
      await say(boss, text);
      await shows(other, text);
    }
    await pace('3600', '0');
    await shows(other, 'Slow mode is off.');
    // What waited is said at once.
    await shows(boss, 'the second');
  });
});
