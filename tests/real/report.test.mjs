// The load harness's report in Chromium: on a phone and on a desk, by day and by night, it is one quiet, legible page.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { chromiumBrowser, load } from './support.mjs';

const SIZES = { phone: { width: 390, height: 844 }, desk: { width: 1280, height: 800 } };

/** Runs that differ in what their pages show. */
const RUNS = {
  'round trips, with thresholds kept and not kept': ['--for', '2s', '-c', '4', '--fail-if', 'min<1us', '--fail-if', 'p50>1us'],
  'a fan-out': ['--profile', 'fanout', '--for', '2s', '-c', '8', '--rate', '50'],
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

/** Texts that are too small, as they are seen: those in drawings may be scaled. */
const small = () => {
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const parent = node.parentElement;
    if (!node.data.trim() || parent.closest('script, style, title, desc')) continue;
    const scale = parent instanceof SVGGraphicsElement ? parent.getScreenCTM().d : 1;
    const size = parseFloat(getComputedStyle(parent).fontSize) * scale;
    if (size < 12) found.push(`${node.data.trim()}: ${size}px`);
  }
  return found;
};

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

/** Contrast of all texts with the ground below them that is under 4.5 (WCAG 2.2, 1.4.3). */
const pale = () => {
  const rgb = (text) => (text.match(/[\d.]+/g) ?? []).map(Number);
  const light = (color) => {
    const [r, g, b] = color.map((part) => part / 255).map((part) => (
      part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgb(getComputedStyle(at).backgroundColor);
      if (color.length === 3) return color;
    }
    return rgb(getComputedStyle(document.body).backgroundColor);
  };
  const found = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const parent = node.parentElement;
    if (!node.data.trim() || parent.closest('script, style, title, desc')) continue;
    const style = getComputedStyle(parent);
    const [a, b] = [light(rgb(parent instanceof SVGElement ? style.fill : style.color)), light(ground(parent))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.add(`${node.data.trim()}: ${contrast.toFixed(2)}`);
  }
  return [...found];
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
