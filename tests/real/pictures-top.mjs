// Takes the picture of `wsgate top`: `node pictures-top.mjs [SECONDS]`. A gateway with some life in it, the program in a
// terminal of 120 by 36 (util-linux's `script` gives it one, @xterm/headless reads it), and Chromium to draw that. A
// curve has a point for each second, so that a good picture takes a minute; fewer seconds are for trying out.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import zlib from 'node:zlib';
import headless from '@xterm/headless';
import WebSocket, { WebSocketServer } from 'ws';
import { WSGATE, chromiumBrowser, gateway, within } from './support.mjs';

const PLACE = path.join(path.dirname(fileURLToPath(import.meta.url)), 'pictures');
const SECONDS = Number(process.argv[2] ?? 60);
const [COLUMNS, ROWS] = [120, 36];
const wait = (seconds) => new Promise((resolve) => { setTimeout(resolve, seconds * 1000); });

/** The same chances each time. */
function dice(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
const chance = dice(7);

// ---- A gateway with some life in it ------------------------------------------------------------

/** A server that echoes. */
async function backend(t, host) {
  const server = new WebSocketServer({ host, port: 0 });
  await once(server, 'listening');
  const { port } = server.address();
  server.on('connection', (socket) => {
    socket.on('error', () => {});
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  t.after(() => {
    server.clients.forEach((client) => client.terminate());
    server.close();
  });
  return { url: `ws://${host}:${port}`, close: () => server.close() };
}

async function town(t, folder) {
  const [one, two, gone] = [await backend(t, '127.0.0.11'), await backend(t, '127.0.0.12'), await backend(t, '127.0.0.13')];
  gone.close();
  await writeFile(path.join(folder, 'admin.token'), 'a token for one picture\n');
  await writeFile(path.join(folder, 'wsgate.toml'), `
trusted_proxies = ["127.0.0.0/8"]
[tls]
self_signed = ["chat.example.com"]
[admin]
listen = "unix:admin.sock"
token_file = "admin.token"
[[route]]
path = "/chat"
hub = { history = 100, create = true, say = { rate = "50/s", burst = 100 } }
[[route]]
path = "/live"
proxy = { pool = "app" }
[[route]]
path = "/echo"
echo = {}
[pool.app]
backends = ["${one.url}", "${two.url}", "${gone.url}"]
health = "tcp"
`);
  return gateway(t, ['--config', path.join(folder, 'wsgate.toml')]);
}

const ADDRESSES = [
  () => `192.0.2.${1 + Math.floor(chance() * 250)}`,
  () => `198.51.100.${1 + Math.floor(chance() * 250)}`,
  () => `203.0.113.${1 + Math.floor(chance() * 250)}`,
  () => `2001:db8:${Math.floor(chance() * 4096).toString(16)}::${Math.floor(chance() * 4096).toString(16)}`,
];
const ROOMS = ['lobby', 'garden', 'music', 'help', 'night', 'films', 'games'];

/** Somebody who comes from elsewhere; `zeal` is how often they say something, and `size` how much. */
function guest(gate, place, { origin } = {}) {
  const address = ADDRESSES[Math.floor(chance() ** 2 * ADDRESSES.length)]();
  const headers = { 'X-Forwarded-For': address, Host: 'chat.example.com' };
  const socket = new WebSocket(`${gate.url}${place}`, {
    headers, origin: origin ?? 'https://chat.example.com', rejectUnauthorized: false, servername: 'chat.example.com',
  });
  socket.on('error', () => {}).on('message', () => {});
  return Object.assign(socket, { zeal: chance() ** 3, size: 20 + Math.floor(chance() ** 4 * 4000) });
}

function bustle(t, gate) {
  const guests = [];
  const place = () => {
    const luck = chance();
    if (luck < 0.45) return `/chat/${ROOMS[Math.floor(chance() * ROOMS.length)]}`;
    return luck < 0.9 ? '/live' : '/echo';
  };
  for (let n = 0; n < 150; n += 1) guests.push(guest(gate, place()));
  let tick = 0;
  const timer = setInterval(() => {
    tick += 1;
    const tide = 0.8 + 0.4 * Math.sin(tick / 45) + 0.25 * Math.sin(tick / 17) + 0.3 * (chance() - 0.5);
    for (const one of guests) {
      const isChat = one.url.includes('/chat');
      if (one.readyState === WebSocket.OPEN && chance() < one.zeal * Math.max(tide, 0.05) * (isChat ? 0.15 : 1)) {
        one.send('x'.repeat(isChat ? 60 : one.size));
      }
    }
    if (chance() < 0.25 * Math.max(tide, 0)) guests.push(guest(gate, place()));
    if (chance() < 0.12) guests.splice(Math.floor(chance() * guests.length), 1)[0].close(chance() < 0.7 ? 1000 : 1001);
    if (chance() < 0.03) guest(gate, '/chat', { origin: 'https://elsewhere.example' });
    if (chance() < 0.02) guests.push(guest(gate, '/chat/no%20such%00room'));
    if (chance() < 0.01) net.connect(gate.port, '127.0.0.1').on('error', () => {}).end('GET / HTTP/1.1\r\n\r\n');
    if (chance() < 0.01) guest(gate, '/nowhere');
    if (chance() < 0.008) guests.splice(Math.floor(chance() * guests.length), 1)[0].terminate();
  }, 100);
  t.after(() => {
    clearInterval(timer);
    guests.forEach((one) => one.terminate());
  });
}

// ---- A terminal --------------------------------------------------------------------------------

/** The program in a terminal, whose screen is read from `terminal`. */
function top(t, folder) {
  const terminal = new headless.Terminal({ cols: COLUMNS, rows: ROWS, allowProposedApi: true });
  const line = `stty cols ${COLUMNS} rows ${ROWS}; exec '${WSGATE}' top --admin unix:admin.sock --token-file admin.token`;
  const { NO_COLOR, ...environment } = process.env;
  const env = { ...environment, TERM: 'xterm-256color', SHELL: '/bin/sh' };
  const child = spawn('script', ['-qec', line, '/dev/null'], { cwd: folder, env, stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdout.on('data', (bytes) => terminal.write(bytes));
  child.stdin.on('error', () => {});
  const ended = once(child, 'exit');
  t.after(async () => {
    child.stdin.write('q');
    const [code] = await within(ended, 'the end of wsgate top');
    if (code !== 0) throw new Error(`wsgate top ended with ${code}`);
  });
  return { terminal, press: (keys) => child.stdin.write(keys) };
}

const STEPS = [0, 95, 135, 175, 215, 255];
const SIXTEEN = '2e3436 cc3333 4e9a06 c4a000 3465a4 a05aa0 06989a d3d7cf 555753 ef2929 8ae234 fce94f 729fcf ad7fa8 34e2e2 eeeeec';

function color(number) {
  if (number < 16) return `#${SIXTEEN.split(' ')[number]}`;
  if (number >= 232) return `rgb(${Array(3).fill(8 + 10 * (number - 232))})`;
  const cube = number - 16;
  return `rgb(${[Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6].map((part) => STEPS[part])})`;
}

const GROUND = { text: '#d4d8de', paper: '#12161c' };

/** How a cell looks. */
function look(cell) {
  let [text, paper] = [cell.isFgPalette() ? color(cell.getFgColor()) : GROUND.text, 'transparent'];
  if (cell.isBgPalette()) paper = color(cell.getBgColor());
  if (cell.isInverse()) [text, paper] = [GROUND.paper, text];
  return `color:${text};background:${paper};${cell.isBold() ? 'font-weight:bold;' : ''}${cell.isUnderline() ? 'text-decoration:underline;' : ''}`;
}

const escaped = (text) => text.replace(/[&<>]/g, (one) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[one]);

/** The screen as a page. */
function page(terminal) {
  const lines = [];
  for (let row = 0; row < ROWS; row += 1) {
    const line = terminal.buffer.active.getLine(row);
    let [html, style, run] = ['', '', ''];
    for (let column = 0; column < COLUMNS; column += 1) {
      const cell = line.getCell(column);
      if (look(cell) !== style) {
        html += `<span style="${style}">${escaped(run)}</span>`;
        [style, run] = [look(cell), ''];
      }
      run += cell.getChars() || ' ';
    }
    lines.push(`${html}<span style="${style}">${escaped(run)}</span>`);
  }
  return `<!doctype html><meta charset="utf-8"><style>
    body { margin: 0; background: ${GROUND.paper}; }
    pre { margin: 0; padding: 12px 14px; display: inline-block; font: 14px "DejaVu Sans Mono", monospace; line-height: normal; }
  </style><pre>${lines.join('\n')}</pre>`;
}

// ---- Fewer bytes -------------------------------------------------------------------------------

/** The chunks of a PNG, those of one type put together. */
function chunks(png) {
  const found = {};
  for (let at = 8; at < png.length; at += 12 + png.readUInt32BE(at)) {
    const type = png.toString('latin1', at + 4, at + 8);
    (found[type] ??= []).push(png.subarray(at + 8, at + 8 + png.readUInt32BE(at)));
  }
  return (type) => Buffer.concat(found[type] ?? []);
}

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  let sum = 0xffffffff;
  for (const byte of body) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  check.writeUInt32BE((sum ^ 0xffffffff) >>> 0);
  return Buffer.concat([length, body, check]);
}

/** The bytes of all pixels; each line of a PNG is a difference to what is left of it or above it. */
function pixels(bytes, width, depth) {
  const stride = width * depth;
  const lines = [];
  for (let at = 0, above = Buffer.alloc(stride); at < bytes.length; at += stride + 1) {
    const line = Buffer.from(bytes.subarray(at + 1, at + 1 + stride));
    for (let n = 0; n < stride; n += 1) {
      const [left, up, corner] = [n < depth ? 0 : line[n - depth], above[n], n < depth ? 0 : above[n - depth]];
      const near = [left, up, corner].map((one) => Math.abs(left + up - corner - one));
      const paeth = near[0] <= near[1] && near[0] <= near[2] ? left : near[1] <= near[2] ? up : corner;
      line[n] += [0, left, up, (left + up) >> 1, paeth][bytes[at]];
    }
    lines.push(line);
    above = line;
  }
  return lines;
}

/** The same picture with 256 colours at most: letters on one ground have hardly more. */
function packed(png) {
  const part = chunks(png);
  const head = Buffer.from(part('IHDR'));
  const [width, depth] = [head.readUInt32BE(0), { 2: 3, 6: 4 }[head[9]]];
  const lines = pixels(zlib.inflateSync(part('IDAT')), width, depth);
  for (let coarse = 1; ; coarse *= 2) {
    const palette = new Map();
    const drawn = lines.map((line) => {
      const row = Buffer.alloc(width + 1);
      for (let n = 0; n < width; n += 1) {
        const shade = [0, 1, 2].map((k) => Math.min(255, Math.round(line[n * depth + k] / coarse) * coarse));
        const name = (shade[0] << 16) | (shade[1] << 8) | shade[2];
        if (!palette.has(name)) palette.set(name, palette.size);
        row[n + 1] = palette.get(name) & 255;
      }
      return row;
    });
    if (palette.size <= 256) {
      head[9] = 3;
      const colors = Buffer.from([...palette.keys()].flatMap((name) => [name >> 16, (name >> 8) & 255, name & 255]));
      const data = zlib.deflateSync(Buffer.concat(drawn), { level: 9, memLevel: 9 });
      const made = [chunk('IHDR', head), chunk('PLTE', colors), chunk('IDAT', data), chunk('IEND', Buffer.alloc(0))];
      return Buffer.concat([png.subarray(0, 8), ...made]);
    }
  }
}

// ---- The picture -------------------------------------------------------------------------------

const ends = [];
const t = { after: (end) => ends.unshift(end) };
try {
  const folder = await mkdtemp(path.join(tmpdir(), 'wsgate-top-'));
  t.after(() => rm(folder, { recursive: true }));
  const gate = await town(t, folder);
  bustle(t, gate);
  const { terminal, press } = top(t, folder);
  await wait(SECONDS);
  press('\u001b[B\u001b[B\u001b[B');
  await wait(1.5);
  const browser = await chromiumBrowser();
  t.after(() => browser.close());
  const context = await browser.newContext({ deviceScaleFactor: 1.5, viewport: { width: 1200, height: 700 } });
  const sheet = await context.newPage();
  await sheet.setContent(page(terminal));
  const picture = packed(await sheet.locator('pre').screenshot());
  await mkdir(PLACE, { recursive: true });
  await writeFile(path.join(PLACE, 'top.png'), picture);
  console.log(`top.png: ${Math.round(picture.length / 1024)} KiB`);
} finally {
  for (const end of ends) await end();
}
