// The load harness's report in Chromium: on a phone and on a desk, by day and by night, it is one quiet, legible page.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { pale, small } from './legible.mjs';
import { chromiumBrowser, load } from './support.mjs';

const SIZES = { phone: { width: 390, height: 844 }, desk: { width: 1280, height: 800 } };

/** Runs that differ in what their pages show. */
const RUNS = {
  'round trips, with thresholds kept and not kept': ['--for', '2s', '-c', '4', '--fail-if', 'min<1us', '--fail-if', 'p50>1us'],
  'a fan-out': ['--profile', 'fanout', '--for', '2s', '-c', '8', '--rate', '50'],
  'a fan-out without and with members that never read': [
    '--apart', 'chat', '--profile', 'slow', '--for', '2s', '-c', '8', '--stopped', '2', '--rate', '50',
  ],
  handshakes: ['--profile', 'connect', '--for', '2s', '-c', '2'],
  'a ramp in stages': ['--profile', 'ramp', '--stage', '2@1s,6@1s,1@1s'],
};

let browser;
before(async () => { browser = await chromiumBrowser(); });
after(async () => { await browser?.close(); });

/** Opens a file as a new visitor; notes what its console says and what it asks for. */
async function open(t, file, viewport, colorScheme) {
  const context = await browser.newContext({ viewport, colorScheme, deviceScaleFactor: 1 });
  t.after(() => context.close());
  const page = await context.newPage();
  const [complaints, asked] = [[], []];
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => asked.push(request.url()));
  await page.goto(pathToFileURL(file).href);
  return { page, complaints, asked };
}

/** What is drawn, read from the page: for each plot its lines, each with whether it can be seen. */
const ink = () => [...document.querySelectorAll('figure.plot')].map((plot) => {
  const ground = getComputedStyle(plot).backgroundColor;
  const area = plot.querySelector('svg.area')?.getBoundingClientRect();
  const shapes = [...plot.querySelectorAll('path.line, circle.dot')].filter((shape) => {
    const { width, height } = shape.getBoundingClientRect();
    const { stroke, strokeWidth, visibility } = getComputedStyle(shape);
    return width + height > 3 && stroke !== 'none' && stroke !== ground && parseFloat(strokeWidth) > 0
      && visibility === 'visible';
  });
  return { id: plot.id, width: area?.width ?? 0, height: area?.height ?? 0, shapes: shapes.length };
});

/** Numbers along an axis that stand in one another, or outside the window. */
const collisions = () => {
  const found = [];
  for (const area of document.querySelectorAll('svg.area')) {
    const texts = [...area.querySelectorAll('text')].map((text) => [text.textContent, text.getBoundingClientRect()]);
    for (const [i, [name, box]] of texts.entries()) {
      if (box.left < 0 || box.right > document.documentElement.clientWidth) found.push(`${name} is outside`);
      for (const [other, its] of texts.slice(i + 1)) {
        const meet = box.left < its.right && its.left < box.right && box.top < its.bottom && its.top < box.bottom;
        if (meet) found.push(`${name} and ${other}`);
      }
    }
  }
  return found;
};

for (const [name, args] of Object.entries(RUNS)) {
  test(`the report of ${name}`, async (t) => {
    // Without a URL the harness measures a gateway of its own, where the plots have something to show.
    const { page: file } = await load(t, '--bench', ...args);
    for (const [size, viewport] of Object.entries(SIZES)) {
      for (const scheme of ['light', 'dark']) {
        const where = `${size}, ${scheme}`;
        const { page, complaints, asked } = await open(t, file, viewport, scheme);
        const plots = await page.evaluate(ink);
        assert.ok(plots.length >= 3, `${where}: ${plots.length} plots`);
        for (const plot of plots) {
          assert.ok(plot.shapes > 0, `${where}: nothing is to be seen in ${JSON.stringify(plot)}`);
          assert.ok(plot.width > 200 && plot.height > 60, `${where}: ${JSON.stringify(plot)}`);
        }
        await page.locator('summary').click(); // the table of seconds as well
        const [scrollWidth, clientWidth] = await page.evaluate(() => (
          [document.documentElement.scrollWidth, document.documentElement.clientWidth]));
        assert.ok(scrollWidth <= clientWidth, `${where}: the page is ${scrollWidth} wide in ${clientWidth}`);
        assert.deepEqual(await page.evaluate(small), [], where);
        assert.deepEqual(await page.evaluate(collisions), [], where);
        assert.deepEqual(await page.evaluate(pale), [], where);
        await page.locator('svg.area').first().hover();
        assert.match(await page.locator('.read').first().textContent(), /\S: \w/, `${where}: the read-out`);
        assert.deepEqual(complaints, [], where);
        assert.deepEqual(asked.filter((url) => !url.startsWith('data:')), [pathToFileURL(file).href], where);
        const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        const [red] = ground.match(/\d+/g).map(Number);
        assert.equal(red > 128, scheme === 'light', `${where}: ${ground}`);
      }
    }
  });
}
