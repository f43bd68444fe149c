// The chat page by itself, with a hub that plays its part: how it looks on a phone and on a desk, by day and by night, by
// keyboard and to a screen reader, and what it says when something goes wrong.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { actor } from './actor.mjs';
import { UNREACHED, dismissed, enter, guest, item, said, say, shows, state } from './guest.mjs';
import { pale, slim, small, wide } from './legible.mjs';
import { chromiumBrowser, within } from './support.mjs';

const SIZES = { phone: { width: 360, height: 740 }, desk: { width: 1280, height: 800 } };
const NASTY = '<img src=x onerror="window.ran=1">\u202e\u200bgnp';

let browser;
before(async () => { browser = await chromiumBrowser(); });
after(async () => { await browser?.close(); });

/** A hub and somebody at its page. */
async function visitor(t, { hub, path = '/chat', ...wishes } = {}) {
  const play = hub ?? await actor(t);
  const page = await guest(t, browser, `${play.page}${path}`, wishes);
  if (!play.plain) await within(play.settled(), 'a room that is joined');
  return { hub: play, page };
}

/** What a screen reader hears of each control: its role and its name. */
async function controls(page) {
  const session = await page.context().newCDPSession(page);
  const { nodes } = await session.send('Accessibility.getFullAXTree');
  const roles = ['button', 'link', 'textbox', 'combobox', 'log', 'region', 'navigation', 'complementary', 'dialog'];
  return nodes.filter(({ ignored, role }) => !ignored && roles.includes(role?.value))
    .map(({ role, name }) => ({ role: role.value, name: name?.value ?? '' }));
}

/** Everything the page can show at once: people, rooms, unread, notes, links, right-to-left, long words, failures. */
async function crowded(hub, page) {
  hub.say('lobby', 'Good morning! See https://example.com/a_(b), or https://bank@example.com.');
  hub.say('lobby', `${'W'.repeat(300)} ${'שלום '.repeat(30)}`, 'A very long name indeed it is', 'b000000000000000');
  hub.say('lobby', 'x', NASTY, 'c000000000000000');
  hub.instead = ({ type, text }) => (text === 'refused' ? { type: 'error', code: 'filtered', text: '' } : undefined);
  hub.tell('lobby', { type: 'notice', code: 'apart', text: '' });
  hub.tell('lobby', { type: 'gap', room: 'lobby', after: '0', before: '1' });
  hub.tell('lobby', { type: 'join', room: 'lobby', id: 'c000000000000000', name: NASTY, time: 0 });
  hub.tell('lobby', { type: 'join', room: 'lobby', id: 'b000000000000000', name: 'N'.repeat(32), time: 0 });
  hub.tell('lobby', { type: 'typing', room: 'lobby', from: { id: 'c000000000000000', name: NASTY } });
  await say(page, 'refused');
  await page.locator('.unsent [hidden]').first().waitFor({ state: 'detached' });
  await page.locator('#members li').nth(2).waitFor({ state: 'attached' });
}

describe('the page is legible and within reach', () => {
  for (const [size, viewport] of Object.entries(SIZES)) {
    for (const colorScheme of ['light', 'dark']) {
      test(`on a ${size}, ${colorScheme}`, async (t) => {
        const { hub, page } = await visitor(t, { viewport, colorScheme });
        hub.moderator = true;
        hub.cut();
        await page.click('#connect');
        await state(page, 'connected');
        await page.evaluate(() => new Promise(requestAnimationFrame));
        await crowded(hub, page);
        const look = async (where) => {
          for (const check of [small, pale, wide, slim]) {
            assert.deepEqual(await page.evaluate(check), [], `${where}: ${check.name}`);
          }
          const heard = await controls(page);
          assert.deepEqual(heard.filter(({ name }) => name.trim() === ''), [], where);
          return heard.map(({ role, name }) => `${role} ${name}`);
        };
        const has = (heard, ...names) => names.forEach((name) => (
          assert.ok(heard.includes(name), `${name} is not among ${heard}`)));
        has(await look('the messages'), 'textbox Your message', 'button Send', 'log Messages in lobby',
          'region Room lobby', 'button Disconnect');
        if (size === 'phone') await page.click('#open-side');
        has(await look('the side'), 'link lobby', 'button Change name', 'button Go', 'textbox Go to another room');
        await page.locator('#members button').first().click();
        await page.locator('#sheet[open]').waitFor();
        has(await look('the dialog'), 'button Ban', 'button Unmute', 'combobox For how long');
        await page.keyboard.press('Escape');
        if (size === 'phone') await page.click('#open-side');
        await page.click('#moderate');
        has(await look('the dialog of the room'), 'combobox Wait between two messages of one person', 'button Set',
          'textbox Name of somebody who is banned', 'button Unban');
        const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        const [red] = ground.match(/\d+/g).map(Number);
        assert.equal(red > 128, colorScheme === 'light');
        assert.equal(await page.evaluate(() => window.ran), undefined);
      });
    }
  }

  test('by keyboard alone, with the focus in view', async (t) => {
    const { hub, page } = await visitor(t);
    const focus = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent);
    const press = async (...keys) => { for (const key of keys) await page.keyboard.press(key); };
    await press('Tab');
    assert.equal(await focus(), 'Skip to writing');
    assert.ok(await page.locator('.skip:focus').evaluate((it) => it.getBoundingClientRect().width > 50), 'it can be seen');
    await press('Enter');
    assert.equal(await focus(), 'text');
    assert.equal(new URL(page.url()).hash, '');
    await page.keyboard.type('first line');
    await press('Shift+Enter');
    await page.keyboard.type('second line');
    await press('Enter');
    await shows(page, 'second line');
    assert.deepEqual(await said(page), ['first line\nsecond line']);
    assert.equal(await focus(), 'text', 'one can write on');
    hub.tell('lobby', { type: 'join', room: 'lobby', id: 'ada0000000000000', name: 'Ada', time: 0 });
    await page.locator('#members button').waitFor();
    await page.focus('#room-name');
    await press('Tab', 'Tab');
    assert.equal(await focus(), 'Ada');
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineWidth);
    assert.ok(parseFloat(outline) >= 2, outline);
    await press('Enter', 'Enter');
    await page.locator('#privately', { hasText: 'Only to Ada' }).waitFor();
    assert.equal(await focus(), 'text');
    await press('Shift+Tab', 'Enter');
    await page.locator('#privately').waitFor({ state: 'hidden' });
    await page.focus('#rename');
    await press('Enter');
    assert.equal(await focus(), 'sheet-field');
    await page.keyboard.type('Grace');
    await press('Enter');
    await page.locator('#my-name', { hasText: 'Grace' }).waitFor();
    await dismissed(page);
    assert.equal(await focus(), 'rename', 'the focus is back');
  });

  test('on a phone the side is a page of its own that Escape closes', async (t) => {
    const { hub, page } = await visitor(t, { viewport: SIZES.phone });
    assert.equal(await page.locator('#side').isVisible(), false);
    await page.click('#open-side');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'close-side');
    assert.equal(await page.evaluate(() => document.querySelector('#talk').inert), true);
    await page.keyboard.press('Escape');
    assert.equal(await page.locator('#side').isVisible(), false);
    assert.equal(await page.evaluate(() => document.activeElement.id), 'open-side');
    hub.tell('lobby', { type: 'join', room: 'lobby', id: 'ada0000000000000', name: 'Ada', time: 0 });
    await page.click('#open-side');
    await page.click('#members button:has-text("Ada")');
    await page.click('text=Write to this person only');
    await page.keyboard.type('psst');
    assert.equal(await page.inputValue('#text'), 'psst');
    await page.click('#open-side');
    await enter(page, 'garden');
    assert.equal(await page.locator('#side').isVisible(), false, 'the room is in view');
  });
});

describe('the page says what happens', { concurrency: 3 }, () => {
  test('older messages come by scrolling, and the reader keeps the place', async (t) => {
    const hub = await actor(t);
    for (let i = 0; i < 170; i += 1) hub.say('lobby', `message ${i}`, ...(i % 2 ? [] : ['Bea', 'bea0000000000000']));
    const { page } = await visitor(t, { hub });
    await shows(page, 'message 169');
    assert.equal((await said(page)).length, 50);
    const scroller = page.locator('.scroller:not([hidden])');
    for (const [oldest, count] of [[70, 100], [20, 150], [0, 170]]) {
      const read = `message ${170 - (await said(page)).length}`;
      const place = () => item(page, new RegExp(`${read}$`)).evaluate((it) => (
        it.getBoundingClientRect().top - it.closest('.scroller').getBoundingClientRect().top));
      await scroller.evaluate((it) => { it.scrollTop = 0; });
      await item(page, new RegExp(`message ${oldest}$`)).waitFor();
      assert.equal((await said(page)).length, count);
      assert.ok(await place() >= 0 && await place() < 100, `what is read stays at the top: ${await place()}`);
      assert.ok(await scroller.evaluate((it) => it.scrollTop) > 0, 'the older ones are above');
    }
    assert.deepEqual(await said(page), Array.from({ length: 170 }, (_, i) => `message ${i}`));
    assert.equal(await page.locator('.earlier:visible').count(), 0, 'there are no older ones');
  });

  test('what nobody has looked at is counted and marked', async (t) => {
    const { hub, page } = await visitor(t);
    hub.say('lobby', 'seen');
    await shows(page, 'seen');
    assert.equal(await page.title(), 'lobby · wsgate chat');
    const hide = (hidden) => page.evaluate((hidden) => {
      Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'));
    }, hidden);
    await hide(true);
    hub.say('lobby', 'unseen');
    hub.say('lobby', 'unseen too');
    await shows(page, 'unseen too');
    assert.equal(await page.title(), '(2) lobby · wsgate chat');
    assert.match((await page.locator('[role=log]').textContent()).replace(/\s+/g, ' '), /seenNew.*unseen.*unseen too$/);
    await hide(false);
    await page.waitForFunction(() => document.title === 'lobby · wsgate chat');
    assert.equal(await page.locator('.unread').count(), 1, 'the mark stays while one reads');
  });

  test('a gap, servers apart and together, a mute, slow mode, an unknown notice', async (t) => {
    const { hub, page } = await visitor(t);
    hub.tell('lobby', { type: 'gap', room: 'lobby', after: '0', before: '1' });
    await shows(page, 'Some messages are missing here');
    hub.tell('lobby', { type: 'notice', code: 'apart', text: 'x' });
    await page.locator('#banner', { hasText: 'cannot reach the others' }).waitFor();
    hub.tell('lobby', { type: 'notice', code: 'together', text: 'x' });
    await shows(page, 'have found each other again');
    assert.equal(await page.locator('#banner').isVisible(), false);
    hub.tell('lobby', { type: 'notice', room: 'lobby', code: 'muted', text: 'x' });
    await shows(page, 'A moderator has muted you');
    hub.tell('lobby', { type: 'notice', room: 'lobby', code: 'slow', seconds: 60, text: 'x' });
    await shows(page, 'once in 1 minute');
    hub.tell('lobby', { type: 'notice', code: 'later', text: 'words of the <b>future</b>' });
    await shows(page, 'words of the <b>future</b>');
    hub.tell('lobby', { type: 'unheard of' });
    hub.tell('lobby', { type: 'constructor' });
    hub.members.forEach(({ socket }) => ['', 'null', '7', '[]', '{'].forEach((text) => socket.send(text)));
    hub.say('lobby', 'and on it goes');
    await shows(page, 'and on it goes');
  });

  test('a message that is refused waits to be sent again, with the same ref, or to be discarded', async (t) => {
    const { hub, page } = await visitor(t);
    hub.instead = ({ type }) => (type === 'say' ? { type: 'error', code: 'filtered', text: '' } : undefined);
    await say(page, 'mild words');
    await page.locator('.unsent', { hasText: 'Not sent: the server does not let this text pass' }).waitFor();
    await page.locator('#hint', { hasText: 'Your message was not sent' }).waitFor();
    hub.instead = () => undefined;
    await page.click('.unsent button:has-text("Send again")');
    await shows(page, 'mild words');
    const refs = hub.asked.filter(({ type }) => type === 'say').map(({ ref }) => ref);
    assert.deepEqual([refs.length, new Set(refs).size], [2, 1]);
    hub.instead = ({ type }) => (type === 'say' ? { type: 'error', code: 'muted', text: '' } : undefined);
    await say(page, 'never mind');
    await page.click('.unsent button:has-text("Discard")');
    await page.locator('.unsent li').waitFor({ state: 'detached' });
    let times = 0;
    hub.instead = ({ type }) => {
      times += type === 'say' ? 1 : 0;
      return type === 'say' && times < 3 ? { type: 'error', code: 'rate_limited', retry: 150, text: '' } : undefined;
    };
    await say(page, 'in time');
    await say(page, 'and in order');
    await shows(page, 'and in order');
    assert.deepEqual(await said(page), ['mild words', 'in time', 'and in order']);
  });

  test('a message without its ack goes again after the cut, and is said once; a reload does not lose it', async (t) => {
    const { hub, page } = await visitor(t);
    let silent = true;
    hub.instead = (message, member) => {
      if (message.type !== 'say' || !silent) return undefined;
      const { id, time } = hub.say('lobby', message.text, member.name, member.id);
      hub.refs.set(`${member.id} ${message.ref}`, { type: 'ack', ref: message.ref, room: 'lobby', id, time });
      return false; // it was said, and its ack is lost
    };
    await say(page, 'once');
    await shows(page, 'once');
    assert.equal(await page.locator('.unsent li').count(), 0, 'it is not shown twice either');
    silent = false;
    await page.reload();
    await state(page, 'connected');
    await shows(page, 'once');
    await page.waitForFunction(() => !/"ref"/.test(JSON.stringify({ ...sessionStorage }).replaceAll('\\', '')));
    assert.deepEqual(await said(page), ['once']);
    const refs = hub.asked.filter(({ type }) => type === 'say').map(({ ref }) => ref);
    assert.deepEqual([refs.length, new Set(refs).size], [2, 1]);
    assert.equal(hub.asked.filter(({ type }) => type === 'resume').length, 1);
  });

  test('a line that has fallen silent is noticed and taken up anew', async (t) => {
    const { hub, page } = await visitor(t, { before: (page) => page.clock.install() });
    hub.say('lobby', 'before');
    await shows(page, 'before');
    hub.instead = () => false; // everything arrives, nothing comes back
    const [silent] = hub.members;
    await page.clock.runFor(70_000);
    for (let i = 0; i < 20 && hub.members.has(silent); i += 1) await page.clock.runFor(1000);
    hub.instead = () => undefined;
    hub.say('lobby', 'meanwhile');
    // The page's clock is told to go on only while it waits to try again; the line itself takes real time.
    const waits = async () => await page.getAttribute('#status', 'data-state') === 'waiting';
    for (let i = 0; i < 60 && await waits(); i += 1) await page.clock.runFor(1000);
    await state(page, 'connected');
    await shows(page, 'meanwhile');
    assert.ok(hub.asked.some(({ type, rooms }) => type === 'resume' && rooms[0].since !== undefined));
    assert.deepEqual(await said(page), ['before', 'meanwhile']);
  });

  test('a private message, whose id is from another clock, is no place in the room; one with the same id is another', async (t) => {
    const { hub, page } = await visitor(t);
    const { id } = hub.say('lobby', 'before');
    await shows(page, 'before');
    const [member] = hub.members;
    const me = { id: member.id, name: member.name };
    const ada = { id: 'ada0000000000000', name: 'Ada' };
    const later = (BigInt(`0x${id}`) + (60_000n << 16n)).toString(16).padStart(16, '0');
    for (const [at, text] of [[id, 'to you'], [later, 'to you, later']]) {
      hub.send(member, { type: 'to', id: at, time: Date.now(), from: ada, to: me, text });
    }
    await shows(page, 'to you, later');
    assert.deepEqual(await said(page), ['before', 'to you', 'to you, later']);
    await page.click('#connect');
    await state(page, 'stopped');
    hub.say('lobby', 'meanwhile');
    await page.click('#connect');
    await shows(page, 'meanwhile');
    assert.deepEqual(await said(page), ['before', 'to you', 'meanwhile', 'to you, later']);
    const [{ rooms }] = hub.asked.filter(({ type }) => type === 'resume');
    assert.equal(rooms[0].since, id);
    hub.tell('lobby', { type: 'delete', room: 'lobby', id });
    await page.locator('[role=log] .said', { hasText: 'before' }).waitFor({ state: 'detached' });
    assert.deepEqual(await said(page), ['to you', 'meanwhile', 'to you, later']);
  });

  test('a disk that fails and recovers is told of as what it is; a name that is taken away, too', async (t) => {
    const { hub, page } = await visitor(t);
    for (const text of ['what is said cannot be kept at the moment', 'what is said is kept again']) {
      hub.tell('lobby', { type: 'notice', room: 'lobby', code: 'store', text });
      await page.locator('[role=log] .note', { hasText: text }).waitFor();
    }
    const [{ id }] = hub.members;
    hub.tell('lobby', { type: 'name', room: 'lobby', id, name: 'Ann', was: 'User #1' });
    await page.locator('[role=log] .note', { hasText: 'You are called Ann now' }).waitFor();
    hub.tell('lobby', { type: 'name', room: 'lobby', id, name: 'User #1', was: 'Ann' });
    await page.locator('[role=log] .note', { hasText: 'Ann is somebody else: you are User #1 now.' }).waitFor();
  });

  test('more than one answer can hold was missed: all of it is asked for, and stands in order', async (t) => {
    const { hub, page } = await visitor(t);
    hub.say('lobby', 'message 0');
    await shows(page, 'message 0');
    await page.click('#connect');
    await state(page, 'stopped');
    for (let i = 1; i < 130; i += 1) hub.say('lobby', `message ${i}`);
    let busy = 1;
    hub.instead = ({ type, room, since, before }, member) => {
      if (type === 'resume') return { type: 'error', code: 'bad_field', text: '' }; // as somebody new, then
      if (before && busy-- > 0) return { type: 'error', code: 'rate_limited', retry: 50, text: '' };
      if (since) hub.send(member, { type: 'gap', room, after: since, before: hub.room(room)[1].id });
      return undefined;
    };
    await page.click('#connect');
    await shows(page, /message 1$/);
    assert.deepEqual(await said(page), Array.from({ length: 130 }, (_, i) => `message ${i}`));
    // Every answer tells of the gap; it is one, and at its place.
    assert.equal(await page.locator('.divider', { hasText: 'missing' }).count(), 1);
    const lines = await page.locator('[role=log] > *').evaluateAll((all) => all.map((one) => one.className));
    assert.deepEqual(lines.slice(0, 4), ['message', 'divider', 'message', 'message again']);
    // More than the page keeps: what is shown is whole, and what is older comes by scrolling.
    hub.most = 400;
    await page.click('#connect');
    await state(page, 'stopped');
    for (let i = 130; i < 1500; i += 1) hub.say('lobby', `message ${i}`);
    await page.click('#connect');
    const kept = Array.from({ length: 1000 }, (_, i) => `message ${500 + i}`);
    await shows(page, 'message 500');
    await page.locator('.earlier').waitFor({ state: 'attached' });
    assert.deepEqual(await said(page), kept);
    hub.most = 50;
    await page.locator('.scroller').evaluate((it) => { it.scrollTop = 0; });
    await shows(page, 'message 450');
    assert.deepEqual((await said(page)).slice(0, 51), Array.from({ length: 51 }, (_, i) => `message ${450 + i}`));
  });

  test('whoever goes on elsewhere, or is put out, is not brought back unasked', async (t) => {
    const { hub, page } = await visitor(t);
    hub.cut(4409);
    await state(page, 'stopped');
    await shows(page, 'goes on in another tab');
    await page.click('#connect');
    await state(page, 'connected');
    hub.cut(4403);
    await state(page, 'stopped');
    await shows(page, 'A moderator has closed this chat to you');
    await page.click('#connect');
    await state(page, 'connected');
    await page.evaluate(() => new Promise(requestAnimationFrame));
    hub.tell('lobby', { type: 'left', room: 'lobby', why: 'kicked' });
    await page.locator('#barred', { hasText: 'You were put out of this room' }).waitFor();
    assert.equal(await page.locator('#text').isVisible(), false);
    await page.click('#rejoin');
    await page.locator('#text').waitFor();
    await say(page, 'back');
    await shows(page, 'back');
  });

  test('a room with a password asks for it; a room that is refused says why', async (t) => {
    const { hub, page } = await visitor(t);
    let times = 0;
    hub.instead = ({ type, room, secret }) => {
      if (type !== 'join') return undefined;
      times += room === 'busy' ? 1 : 0;
      if (room === 'busy' && times < 3) return { type: 'error', code: 'rate_limited', retry: 50, room, text: '' };
      if (room === 'full') return { type: 'error', code: 'room_full', text: '' };
      return room === 'vault' && secret !== 'open sesame' ? { type: 'error', code: 'wrong_secret', text: '' } : undefined;
    };
    await page.fill('#room-name', 'vault');
    await page.keyboard.press('Enter');
    await page.locator('dialog[open]', { hasText: 'vault has a password' }).waitFor();
    await page.fill('#sheet-field', 'wrong');
    await page.keyboard.press('Enter');
    await page.locator('[role=alert]', { hasText: 'the password is not right' }).waitFor();
    await page.fill('#sheet-field', 'open sesame');
    await page.keyboard.press('Enter');
    await page.locator('#room', { hasText: 'vault' }).waitFor();
    await say(page, 'psst');
    await shows(page, 'psst');
    await page.reload();
    await shows(page, 'psst');
    assert.equal(await page.locator('dialog[open]').count(), 0, 'the tab remembers the password');
    await page.fill('#room-name', 'full');
    await page.keyboard.press('Enter');
    await page.locator('#go-hint', { hasText: 'the room is full' }).waitFor();
    assert.equal(await page.locator('#rooms li').count(), 2);
    const patient = await guest(t, browser, `${hub.page}/chat/busy`);
    await say(patient, 'at last');
    await shows(patient, 'at last');
    const reader = await guest(t, browser, `${hub.page}/chat/full`);
    await reader.locator('#barred', { hasText: 'You cannot enter this room: the room is full.' }).waitFor();
  });

  test('a moderator deletes, mutes and bans; others are not asked to', async (t) => {
    const hub = await actor(t);
    hub.moderator = true;
    const { page } = await visitor(t, { hub });
    hub.moderator = false;
    const { page: other } = await visitor(t, { hub });
    const { id } = hub.say('lobby', 'rude');
    for (const one of [page, other]) await shows(one, 'rude');
    assert.equal(await other.locator('.more').count(), 0);
    await page.click('[aria-label="Message by Ada: what to do"]');
    await page.click('text=Delete this message');
    for (const one of [page, other]) await item(one, 'rude').waitFor({ state: 'detached' });
    hub.say('lobby', 'rude again');
    await page.click('[aria-label="Message by Ada: what to do"]');
    await page.fill('#sheet-reason', 'be kind');
    await page.selectOption('#sheet-span', '3600');
    await page.click('dialog >> text="Mute"');
    await page.locator('dialog[open]').waitFor({ state: 'hidden' });
    hub.instead = () => ({ type: 'error', code: 'forbidden', text: '' });
    await page.click('[aria-label="Message by Ada: what to do"]');
    await page.click('dialog >> text="Put out of the room"');
    await page.locator('[role=alert]', { hasText: 'you may not do that' }).waitFor();
    const asked = hub.asked.filter(({ type }) => ['delete', 'mute', 'kick'].includes(type)).map(({ ref, ...rest }) => rest);
    assert.deepEqual(asked, [
      { type: 'delete', room: 'lobby', id },
      { type: 'mute', room: 'lobby', member: 'ada0000000000000', reason: 'be kind', for: 3600 },
      { type: 'kick', room: 'lobby', member: 'ada0000000000000' },
    ]);
  });

  test('a moderator slows a room down and lets people in again, by keyboard alone; others are not asked to', async (t) => {
    const hub = await actor(t);
    hub.moderator = true;
    const { page } = await visitor(t, { hub });
    hub.moderator = false;
    const { page: other } = await visitor(t, { hub });
    assert.equal(await other.locator('#moderate').isVisible(), false);
    const focus = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent);
    const press = async (...keys) => { for (const key of keys) await page.keyboard.press(key); };
    const done = async () => {
      await page.locator('dialog[open]').waitFor({ state: 'hidden' });
      assert.equal(await focus(), 'moderate', 'the focus is back');
    };
    // One that no list of ours has.
    hub.tell('lobby', { type: 'notice', room: 'lobby', code: 'slow', seconds: 45, text: '' });
    await shows(page, 'once in 45 seconds');
    await page.focus('#moderate');
    await press('Enter');
    assert.deepEqual([await focus(), await page.inputValue('#sheet-pace')], ['sheet-pace', '45']);
    await press('ArrowDown', 'Tab');
    assert.equal(await focus(), 'Set');
    await press('Enter');
    await done();
    await shows(other, 'once in 1 minute');
    await press('Enter', 'Tab', 'Tab');
    assert.equal(await focus(), 'sheet-name');
    await page.keyboard.type(' Ada ');
    await press('Enter');
    await done();
    hub.say('lobby', 'rude');
    await page.click('[aria-label="Message by Ada: what to do"]');
    await page.click('dialog >> text="Ban"');
    await page.locator('dialog[open]').waitFor({ state: 'hidden' });
    hub.moderator = true;
    await page.reload();
    await state(page, 'connected');
    await page.focus('#moderate');
    await press('Enter', 'Tab', 'Tab');
    assert.equal(await focus(), 'Let Ada in again');
    hub.instead = () => ({ type: 'error', code: 'no_such_member', text: '' });
    await press('Enter');
    await page.locator('[role=alert]', { hasText: 'nobody of this name is banned' }).waitFor();
    hub.instead = () => undefined;
    await press('Enter');
    await done();
    await press('Enter');
    assert.equal(await page.locator('dialog button', { hasText: 'in again' }).count(), 0, 'the page has forgotten it');
    const asked = hub.asked.filter(({ type }) => ['slow', 'unban'].includes(type)).map(({ ref, ...rest }) => rest);
    const free = { type: 'unban', room: 'lobby', member: 'ada0000000000000' };
    assert.deepEqual(asked, [
      { type: 'slow', room: 'lobby', seconds: 60 }, { type: 'unban', room: 'lobby', name: 'Ada' }, free, free,
    ]);
  });

  test('names and rooms that want to be more than text are text', async (t) => {
    const hub = await actor(t);
    const { page } = await visitor(t, { hub, path: `/chat/${encodeURIComponent(NASTY)}` });
    await page.locator('#room', { hasText: NASTY }).waitFor();
    hub.say(NASTY, 'x', NASTY, 'c000000000000000');
    hub.tell(NASTY, { type: 'join', room: NASTY, id: 'c000000000000000', name: NASTY, time: 0 });
    hub.tell(NASTY, { type: 'name', room: NASTY, id: 'c000000000000000', name: `${NASTY}2`, was: NASTY });
    hub.tell(NASTY, { type: 'notice', code: 'odd', text: NASTY });
    hub.tell(NASTY, { type: 'left', room: NASTY, why: NASTY });
    await page.locator('#barred', { hasText: 'onerror' }).waitFor();
    await page.locator('#members button', { hasText: `${NASTY}2` }).waitFor();
    assert.equal(await page.locator('img').count(), 0);
    assert.equal(await page.evaluate(() => window.ran), undefined);
    assert.doesNotMatch(await page.title(), /[\u202e\u200b]/, 'a title is one line, in one direction');
  });

  test('where wsgate.chat.v1 is not spoken, plain text is', async (t) => {
    const hub = await actor(t);
    hub.plain = true;
    const { page } = await visitor(t, { hub, grumbles: UNREACHED });
    await say(page, 'a < b');
    await shows(page, 'a < b');
    assert.equal(await page.locator('.who').textContent(), 'User #1');
    assert.equal(await page.locator('#people').isVisible(), false);
    hub.cut(1012);
    hub.room('').push('User #2: meanwhile');
    // The replay begins with what is on the screen already.
    await shows(page, 'meanwhile');
    await say(page, 'after');
    await shows(page, 'after');
    assert.deepEqual(await said(page), ['a < b', 'meanwhile', 'after']);
    assert.deepEqual(await page.locator('.note, .divider').allTextContents(), ['The gateway is restarting.', 'Reconnected']);
  });
});
