// What the tests share: child processes that cannot outlive them, and three kinds of client behind one face.
//
// A client, be it Node's `ws`, Python's `websockets` or a page in Chromium, is { next(), send(data), close(code, reason) }:
// `next` gives the next message (string or Buffer) within a deadline, `close` the { code, reason } both sides agreed on.
// Nothing here waits for time to pass: every wait is for an event, and has a deadline that names what did not come.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import WebSocket from 'ws';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const TOP = path.resolve(HERE, '../..');
const TARGET = path.resolve(TOP, process.env.CARGO_TARGET_DIR ?? 'target');
export const WSGATE = process.env.WSGATE_BIN ?? path.join(TARGET, 'release/wsgate');
export const PYTHON = process.env.WSGATE_PYTHON ?? path.join(TARGET, 'real-venv/bin/python');
const CHROMIUM = process.env.WSGATE_CHROMIUM ?? '/usr/bin/chromium';

/** How long an expected event may take on a slow, busy machine. */
export const PATIENCE = 15_000;

/** Rejects when `promise` has not settled in time; `what` completes the sentence "waited in vain for". */
export function within(promise, what, limit = PATIENCE) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${limit} ms in vain for ${what}`)), limit);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The one wait that can only be for time: that something does NOT happen. Kept short; a slow machine cannot fail it. */
export async function remainsSilent(promise, what, limit = 400) {
  const silence = Symbol('silence');
  let timer;
  const quiet = new Promise((resolve) => { timer = setTimeout(resolve, limit, silence); });
  const first = await Promise.race([promise, quiet]).finally(() => clearTimeout(timer));
  assert.equal(first, silence, `${what}: expected silence`);
}

/** Messages that arrived, and those who wait for one. */
class Inbox {
  #arrived = [];
  #waiting = [];
  #over = null;

  put(message) {
    const waiter = this.#waiting.shift();
    if (waiter) waiter.resolve(message);
    else this.#arrived.push(message);
  }

  /** Nothing comes any more: whoever waits is told why. */
  end(why) {
    this.#over = why;
    this.#waiting.splice(0).forEach((waiter) => waiter.reject(new Error(why)));
  }

  take() {
    if (this.#arrived.length > 0) return Promise.resolve(this.#arrived.shift());
    if (this.#over) return Promise.reject(new Error(this.#over));
    const taken = new Promise((resolve, reject) => { this.#waiting.push({ resolve, reject }); });
    taken.catch(() => {}); // a test that ended early may have left it behind
    return taken;
  }
}

// ---- Child processes ---------------------------------------------------------------------------

const groups = new Set();

function killGroup(pid, signal) {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

process.on('exit', () => groups.forEach((pid) => killGroup(pid, 'SIGKILL')));
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) {
  process.on(signal, () => process.exit(1));
}

/** Starts a program in a process group of its own, which ends with the test `t` at the latest. */
export function start(t, command, args, options = {}) {
  const child = spawn(command, args, { detached: true, stdio: ['pipe', 'pipe', 'pipe'], cwd: HERE, ...options });
  const exited = once(child, 'exit').then(([code, signal]) => ({ code, signal }));
  exited.catch(() => {}); // "no such program" is told by whoever waits for its first line
  if (child.pid) groups.add(child.pid);
  const program = { child, exited, lines: [], errors: '', name: path.basename(args[0] ?? command) };
  const lines = new Inbox();
  const reader = createInterface({ input: child.stdout });
  reader.on('line', (line) => { program.lines.push(line); lines.put(line); });
  reader.on('close', () => lines.end(`${program.name} ended its output. Its errors:\n${program.errors}`));
  child.stderr.setEncoding('utf8').on('data', (text) => { program.errors += text; });
  child.stdin.on('error', () => {}); // it may be gone already
  child.on('error', (error) => lines.end(`${command} does not start: ${error.message}`));
  program.next = () => lines.take();
  program.line = (what = 'a line') => within(lines.take(), `${what} from ${program.name}`);
  program.kill = (signal) => killGroup(child.pid, signal);
  t.after(async () => {
    if (!child.pid) return;
    program.kill('SIGKILL');
    await within(exited, `the end of ${program.name}`);
    groups.delete(child.pid);
  });
  return program;
}

async function listening(program, scheme) {
  const line = await program.line('the listening line');
  const found = new RegExp(`^listening ${scheme}127\\.0\\.0\\.1:(\\d+)$`).exec(line);
  assert.ok(found, `not a listening line: ${line}`);
  program.port = Number(found[1]);
  program.stop = async () => {
    program.child.kill('SIGTERM');
    return within(program.exited, `${program.name} to end after SIGTERM`);
  };
  return program;
}

/** Starts one of the servers in php/, or another file by its full path, and waits until it listens. */
export async function php(t, file, ...args) {
  const program = start(t, 'php', [path.resolve(HERE, 'php', file), '0', ...args.map(String)]);
  await listening(program, '');
  program.url = `ws://127.0.0.1:${program.port}`;
  return program;
}

/** Kills a server of php/ as the kernel does when memory runs out, and waits until it is gone. */
export async function kill(program) {
  program.kill('SIGKILL');
  await within(program.exited, `the end of ${program.name}`);
}

/** Starts the same server again, on the port that it had. */
export async function startAgain(t, file, { port }) {
  const program = start(t, 'php', [path.resolve(HERE, 'php', file), String(port)]);
  await listening(program, '');
  assert.equal(program.port, port);
  return program;
}

/** Starts an echo server that says `listening ws://…` first. */
export async function echoServer(t, command, args) {
  const program = start(t, command, args);
  await listening(program, 'ws://');
  program.url = `ws://127.0.0.1:${program.port}`;
  return program;
}

/** Starts the gateway under test, on any free port unless one is given, and waits until it is ready. */
export async function gateway(t, args = [], { port = 0 } = {}) {
  const program = start(t, WSGATE, ['--listen', `127.0.0.1:${port}`, ...args]);
  program.name = 'wsgate';
  await listening(program, 'wss://');
  program.url = `wss://127.0.0.1:${program.port}`;
  program.page = `https://127.0.0.1:${program.port}`;
  return program;
}

/** A file of this name and text, in a folder that goes away with the test. */
export async function file(t, name, text) {
  const folder = await mkdtemp(path.join(tmpdir(), 'wsgate-'));
  t.after(() => rm(folder, { recursive: true }));
  const place = path.join(folder, name);
  await writeFile(place, text);
  return place;
}

/** Starts the gateway with this configuration. */
export async function configured(t, text) {
  return gateway(t, ['--config', await file(t, 'wsgate.toml', text)]);
}

/** The value of a metric's line, 0 while it is not there; the configuration has an `[admin]` on port 0. */
export async function metric(gate, line) {
  while (!gate.door) {
    gate.door = /admin="(http:\/\/[^"]+)"/.exec(gate.errors)?.[1];
    await new Promise(setImmediate);
  }
  const text = await (await fetch(`${gate.door}/metrics`)).text();
  const found = text.split('\n').find((have) => have.startsWith(`${line} `));
  return Number(found?.slice(line.length + 1) ?? 0);
}

/** Waits until a metric has this value. */
export async function untilMetric(gate, line, value) {
  const seen = async () => { while (await metric(gate, line) !== value); };
  await within(seen(), `${line} to be ${value}`);
}

// ---- The load harness --------------------------------------------------------------------------

let harness;

/** The harness as `cargo test` has built it, or builds it now; WSGATE_LOAD may name another build. */
async function buildHarness() {
  if (process.env.WSGATE_LOAD) return process.env.WSGATE_LOAD;
  const args = ['test', '--locked', '--no-run', '--bench', 'load', '--message-format=json'];
  const cargo = spawn('cargo', args, { cwd: TOP, stdio: ['ignore', 'pipe', 'pipe'] });
  let [said, errors] = ['', ''];
  cargo.stdout.setEncoding('utf8').on('data', (text) => { said += text; });
  cargo.stderr.setEncoding('utf8').on('data', (text) => { errors += text; });
  const [code] = await once(cargo, 'close');
  assert.equal(code, 0, errors);
  const made = said.trim().split('\n').map((line) => JSON.parse(line));
  const found = made.findLast(({ executable, target }) => executable && target.name === 'load');
  return found.executable;
}

/** Measures with these arguments; gives { code, text, run, page }: the exit code, what was printed, and both files. */
export async function load(t, ...args) {
  harness ??= buildHarness();
  const folder = await mkdtemp(path.join(tmpdir(), 'wsgate-load-'));
  t.after(() => rm(folder, { recursive: true }));
  const [json, page] = [path.join(folder, 'run.json'), path.join(folder, 'run.html')];
  const program = start(t, await harness, [...args.map(String), '--json', json, '--html', page]);
  program.name = 'load';
  const { code } = await within(program.exited, `the end of load ${args.join(' ')}`, 60_000);
  assert.ok([0, 3, 4].includes(code), `load ${args.join(' ')}: ${program.errors}`);
  return { code, text: program.lines.join('\n'), run: JSON.parse(await readFile(json, 'utf8')), page };
}

/** A comparison of the harness, with this in its environment; `run` is undefined when there is none. */
export async function compare(t, environment, ...args) {
  harness ??= buildHarness();
  const folder = await mkdtemp(path.join(tmpdir(), 'wsgate-load-'));
  t.after(() => rm(folder, { recursive: true }));
  const json = path.join(folder, 'comparison.json');
  const env = { ...process.env, WSGATE_PYTHON: PYTHON, ...environment };
  const program = start(t, await harness, [...args.map(String), '--json', json], { env });
  program.name = 'load';
  const { code } = await within(program.exited, `the end of load ${args.join(' ')}`, 60_000);
  const run = code === 0 ? JSON.parse(await readFile(json, 'utf8')) : undefined;
  return { code, text: program.lines.join('\n'), errors: program.errors, run };
}

// ---- Node's ws ---------------------------------------------------------------------------------

class NodeClient {
  #inbox = new Inbox();

  constructor(url, options) {
    const { protocols = [], ...rest } = options;
    this.socket = new WebSocket(url, protocols, { rejectUnauthorized: false, ...rest });
    this.opened = once(this.socket, 'open');
    this.closed = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => {
        this.#inbox.end(`the connection was closed: ${code} ${reason}`);
        resolve({ code, reason: reason.toString() });
      });
    });
    this.socket.on('error', (error) => { this.error = error; });
    this.socket.on('message', (data, binary) => this.#inbox.put(binary ? data : data.toString()));
  }

  next() { return within(this.#inbox.take(), 'a message to a Node client'); }

  /** The next message, without a deadline. */
  pending() { return this.#inbox.take(); }

  async send(data) { this.socket.send(data); }

  async sendFragments(...pieces) {
    pieces.forEach((piece, i) => this.socket.send(piece, { fin: i === pieces.length - 1 }));
  }

  /** Hands several messages to the kernel in one write, as a busy client does. */
  async sendTogether(...messages) {
    const tcp = this.socket._socket; // ws gives no other way to say "together"
    tcp.cork();
    messages.forEach((message) => this.socket.send(message));
    tcp.uncork();
  }

  async ping(payload) {
    const pong = once(this.socket, 'pong');
    this.socket.ping(payload);
    const [echoed] = await within(pong, 'a pong to a Node client');
    return echoed.toString();
  }

  async close(code = 1000, reason = '', limit = PATIENCE) {
    this.socket.close(code, reason);
    return within(this.closed, 'the answer to a Node client\'s close', limit);
  }
}

/** Connects Node's ws client; rejects when the server does not answer 101. */
export async function node(t, url, options = {}) {
  const client = new NodeClient(url, options);
  t.after(() => client.socket.terminate());
  await within(client.opened, `a connection to ${url}`);
  return client;
}

// ---- Python's websockets -----------------------------------------------------------------------

class PythonClient {
  #messages = new Inbox();
  #pongs = new Inbox();
  #alive = new Inbox();

  constructor(program) {
    this.program = program;
    this.closed = this.#listen();
    this.closed.catch(() => {});
  }

  async #listen() {
    const over = (why) => [this.#messages, this.#pongs, this.#alive].forEach((inbox) => inbox.end(why));
    for await (const event of this.#events()) {
      if (event.event === 'text') this.#messages.put(event.data);
      else if (event.event === 'binary') this.#messages.put(Buffer.from(event.data, 'base64'));
      else if (event.event === 'pong') this.#pongs.put(event.payload);
      else if (event.event === 'alive') this.#alive.put(true);
      else if (event.event === 'closed') {
        over(`the connection was closed: ${event.code} ${event.reason}`);
        return event;
      }
    }
    over('the Python client ended');
    throw new Error(`the Python client ended without a word:\n${this.program.errors}`);
  }

  async *#events() {
    try {
      while (true) yield JSON.parse(await this.program.next());
    } catch {
      // its output has ended
    }
  }

  #order(order) { this.program.child.stdin.write(`${JSON.stringify(order)}\n`); }

  next() { return within(this.#messages.take(), 'a message to a Python client'); }

  /** Resolves when the library's own next keepalive ping was answered. */
  keepalive() { return within(this.#alive.take(), 'the answer to a keepalive ping of a Python client'); }

  async send(data) { this.#order(typeof data === 'string' ? { text: data } : { binary: data.toString('base64') }); }

  async sendFragments(...pieces) { this.#order({ fragments: pieces }); }

  async ping(payload) {
    this.#order({ ping: payload });
    return within(this.#pongs.take(), 'a pong to a Python client');
  }

  async close(code = 1000, reason = '') {
    this.#order({ close: code, reason });
    return within(this.closed, 'the answer to a Python client\'s close');
  }
}

/** Connects PyPI's websockets client, with its keepalive on; the interval is short, so that a test sees it at work. */
export async function python(t, url, { interval = 0.2, timeout = PATIENCE / 1000 } = {}) {
  const args = [path.join(HERE, 'client.py'), url, '--ping-interval', interval, '--ping-timeout', timeout];
  const program = start(t, PYTHON, args.map(String));
  const first = JSON.parse(await program.line('its first event'));
  assert.equal(first.event, 'opened', `Python found no connection: ${first.why}`);
  return new PythonClient(program);
}

// ---- Chromium ----------------------------------------------------------------------------------

/** One Chromium for a whole test file; each visitor has a context of its own, as two people with two browsers. */
export async function chromiumBrowser() {
  return within(chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox', '--headless', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
    ],
    handleSIGTERM: false, // ours ends everything
    handleSIGINT: false,
    handleSIGHUP: false,
  }), 'Chromium', 60_000);
}

/** Opens `address` as a new visitor and notes every complaint of the page's console. */
export async function visit(t, browser, address) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  t.after(() => context.close());
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.complaints = [];
  page.on('console', (message) => {
    if (message.type() === 'error') page.complaints.push(message.text());
  });
  page.on('pageerror', (error) => page.complaints.push(String(error)));
  await page.goto(address);
  return page;
}

class BrowserClient {
  constructor(page) {
    this.page = page;
  }

  async open(url, protocols) {
    const opened = this.page.evaluate(([url, protocols]) => new Promise((resolve, reject) => {
      const socket = new WebSocket(url, protocols);
      socket.binaryType = 'arraybuffer';
      const [arrived, waiting] = [[], []];
      const take = () => new Promise((done) => {
        if (arrived.length > 0) done(arrived.shift());
        else waiting.push(done);
      });
      const closed = new Promise((done) => {
        socket.onclose = ({ code, reason }) => done({ code, reason });
      });
      socket.onmessage = ({ data }) => {
        const message = typeof data === 'string' ? data : Array.from(new Uint8Array(data));
        if (waiting.length > 0) waiting.shift()(message);
        else arrived.push(message);
      };
      socket.onopen = () => resolve();
      socket.onerror = () => reject(new Error(`no connection to ${url}`));
      globalThis.peer = { socket, take, closed };
    }), [url, protocols]);
    await within(opened, `a browser's connection to ${url}`);
  }

  async next() {
    const data = await within(this.page.evaluate(() => globalThis.peer.take()), 'a message to a browser');
    return typeof data === 'string' ? data : Buffer.from(data);
  }

  async send(data) {
    await this.page.evaluate((message) => {
      globalThis.peer.socket.send(typeof message === 'string' ? message : new Uint8Array(message));
    }, typeof data === 'string' ? data : Array.from(data));
  }

  async close(code = 1000, reason = '') {
    const closed = this.page.evaluate(([code, reason]) => {
      globalThis.peer.socket.close(code, reason);
      return globalThis.peer.closed;
    }, [code, reason]);
    return within(closed, 'the answer to a browser\'s close');
  }
}

/** A visitor of the gateway's /chat page whose script opens a WebSocket to `target`, on the page's own origin. */
export async function browserClient(t, browser, gate, target, protocols = []) {
  const client = new BrowserClient(await visit(t, browser, `${gate.page}/chat`));
  await client.open(`${gate.url}${target}`, protocols);
  return client;
}

// ---- Bytes -------------------------------------------------------------------------------------

/** A bare TCP connection: what a server really answers, byte for byte. */
export async function raw(t, port, options = {}) {
  const socket = net.connect({ host: '127.0.0.1', port, ...options });
  t.after(() => socket.destroy());
  const chunks = new Inbox();
  let received = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    received = Buffer.concat([received, chunk]);
    chunks.put(true);
  });
  const ended = new Promise((resolve) => {
    socket.on('close', () => {
      chunks.end('the connection was closed');
      resolve();
    });
  });
  socket.on('error', () => {}); // a reset is an end like any other here
  await within(once(socket, 'connect'), `a TCP connection to port ${port}`);
  return {
    socket,
    write: (bytes) => { socket.write(bytes); },
    /** Everything that was sent until the server closed. */
    rest: async () => { await within(ended, 'the server to close'); return received.toString('latin1'); },
    /** Everything that was sent until it contains `mark`. */
    until: async (mark) => {
      while (!received.includes(mark)) await within(chunks.take(), `${JSON.stringify(mark)} in an answer`);
      return received.toString('latin1');
    },
    received: () => received,
  };
}

/** The key of every request below, and the answer RFC 6455 (section 1.3) gives for it. */
export const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

/** An upgrade request as a browser writes it; `headers` are added, or replace one of the same name. */
export function upgradeRequest(headers = {}, line = 'GET / HTTP/1.1') {
  const all = {
    Host: '127.0.0.1',
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Version': '13',
    ...headers,
  };
  return [line, ...Object.entries(all).map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n');
}
