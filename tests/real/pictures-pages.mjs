// Takes the pictures of the chat page and of the admin door's page: `node pictures-pages.mjs [SECONDS]`. The plots show
// five minutes, so that a good picture takes as long; fewer seconds are for trying out.

import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { packed } from './png.mjs';
import { TOKEN, bustle, stage, talkers, town } from './life.mjs';
import { chromiumBrowser } from './support.mjs';

const PLACE = path.join(path.dirname(fileURLToPath(import.meta.url)), 'pictures');
const SECONDS = Number(process.argv[2] ?? 300);

const wait = (seconds) => new Promise((resolve) => { setTimeout(resolve, seconds * 1000); });

async function take(page, name) {
  const picture = packed(await page.screenshot());
  await writeFile(path.join(PLACE, `${name}.png`), picture);
  console.log(`${name}.png: ${Math.round(picture.length / 1024)} KiB`);
}

const SIZES = { chat: { width: 1120, height: 720 }, admin: { width: 1360, height: 880 } };

/** A page by day and one by night, each with a name for its pictures. */
async function pages(t, browser, address, size, prepare) {
  const both = [];
  for (const colorScheme of ['light', 'dark']) {
    const context = await browser.newContext({
      ignoreHTTPSErrors: true, colorScheme, viewport: SIZES[size], locale: 'en-GB', reducedMotion: 'reduce',
    });
    t.after(() => context.close());
    const page = await context.newPage();
    await prepare?.(page, colorScheme);
    await page.goto(address);
    both.push([page, colorScheme]);
  }
  return both;
}

async function chat(t, browser, gate) {
  const talk = talkers(t, gate);
  await talk.there;
  const guests = await pages(t, browser, `${gate.page}/chat/lobby`, 'chat');
  for (const [page, scheme] of guests) {
    await page.locator('#status[data-state=connected]').waitFor();
    await page.click('#rename');
    await page.fill('#sheet-field', scheme === 'light' ? 'Katherine' : 'Dorothy');
    await page.keyboard.press('Enter');
    await page.locator('dialog[open]').waitFor({ state: 'hidden' });
    for (const room of ['garden', 'releases', 'lobby']) {
      await page.fill('#room-name', room);
      await page.click('#go button');
      await page.locator('#room', { hasText: room }).waitFor();
    }
  }
  for (let at = 0; at < talk.length; at += 1) {
    talk.say(at);
    await wait(0.4);
  }
  const [[page]] = guests;
  await page.fill('#text', 'Same here. Lunch at half past?');
  await page.keyboard.press('Enter');
  for (const [page, scheme] of guests) {
    await page.locator('[role=log] li', { hasText: 'Lunch at half past' }).waitFor();
    await take(page, `chat-${scheme}`);
  }
}

async function admin(t, browser, gate) {
  const open = (page) => page.addInitScript((token) => sessionStorage.setItem('wsgate admin token', token), TOKEN);
  const desks = await pages(t, browser, gate.door, 'admin', open);
  await wait(SECONDS);
  for (const [page, scheme] of desks) {
    await page.goto(`${page.url().split('#')[0]}#overview`);
    await page.locator('#pulse[data-state=live]').waitFor();
    await take(page, `admin-overview-${scheme}`);
  }
  for (const [page, scheme] of desks) {
    await page.goto(`${page.url().split('#')[0]}#connections?sort=-bytes_out`);
    await page.locator('tbody tr').nth(20).waitFor();
    await take(page, `admin-connections-${scheme}`);
  }
}

const t = stage();
try {
  await mkdir(PLACE, { recursive: true });
  const browser = await chromiumBrowser();
  t.after(() => browser.close());
  const gate = await town(t);
  bustle(t, gate);
  await chat(t, browser, gate);
  await admin(t, browser, gate);
} finally {
  await t.clear();
}
process.exit(0);
