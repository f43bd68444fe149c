// Somebody at the chat page: a browser of their own, and a watch on everything that must not happen there.

import assert from 'node:assert/strict';
import net from 'node:net';
import { once } from 'node:events';
import { PATIENCE } from './support.mjs';

export const state = (page, name) => page.locator(`#status[data-state=${name}]`).waitFor();
export const item = (page, text) => page.locator('.scroller:not([hidden]) [role=log] li', { hasText: text });
export const shows = (page, text) => item(page, text).first().waitFor();
/** What is said in the room in view, from top to bottom. */
export const said = (page) => page.locator('.scroller:not([hidden]) [role=log] .said').allTextContents();

/** Until the page's dialog is closed. */
export const dismissed = (page) => page.locator('dialog[open]').waitFor({ state: 'hidden' });

export async function say(page, text) {
  await dismissed(page);
  await page.fill('#text', text);
  await page.click('#send');
}

/** Goes to another room by the form of the page. */
export async function enter(page, room) {
  await page.fill('#room-name', room);
  await page.click('#go button');
  await page.locator('#room', { hasText: room }).waitFor();
}

/**
 * Opens `address` as a new visitor and waits until the page is connected. When the test is over, nothing may have been
 * asked of elsewhere, complained about on the console or refused by the page's policy; `grumbles` are excepted.
 */
export async function guest(t, browser, address, { grumbles = null, wait = 'connected', before, ...wishes } = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, deviceScaleFactor: 1, ...wishes });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const [complaints, foreign] = [[], []];
  const { host } = new URL(address);
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('dialog', (dialog) => {
    complaints.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  const note = (url) => /^(data|blob):/.test(url) || new URL(url).host === host || foreign.push(url);
  page.on('request', (request) => note(request.url()));
  page.on('websocket', (socket) => note(socket.url()));
  context.on('page', (other) => other !== page && foreign.push(`another page: ${other.url()}`));
  await page.addInitScript(() => {
    globalThis.violations = [];
    addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI, sample }) => (
      globalThis.violations.push(`${violatedDirective} ${blockedURI} ${sample}`)));
  });
  t.after(async () => {
    const violations = await page.evaluate(() => globalThis.violations).catch(() => []);
    await context.close();
    const own = complaints.filter((text) => !grumbles?.test(text));
    assert.deepEqual({ own, foreign, violations }, { own: [], foreign: [], violations: [] });
  });
  await before?.(page);
  await page.goto(address);
  if (wait) await state(page, wait);
  return page;
}

/** Chromium itself reports an attempt that found nobody listening; the page has no say in that. */
export const UNREACHED = /^WebSocket connection to .* failed|net::ERR_/;

/** A wire to this port that the test can cut, and let be again. */
export async function wire(t, port) {
  const ends = new Set();
  let whole = true;
  const server = net.createServer((near) => {
    if (!whole) return near.resetAndDestroy();
    const far = net.connect(port, '127.0.0.1');
    for (const [end, other] of [[near, far], [far, near]]) {
      ends.add(end);
      end.on('error', () => other.destroy()).on('close', () => {
        ends.delete(end);
        other.destroy();
      });
      end.pipe(other);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    whole = false;
    ends.forEach((end) => end.destroy());
  };
  t.after(() => {
    cut();
    server.close();
  });
  return { port: server.address().port, cut, mend: () => { whole = true; } };
}
