// A WebSocket client of bare bytes: it writes what it is told, in the segments it is told, and notes all that comes back.
//
// A library would put fragments together, answer pings and refuse bad text by itself; here that is what is looked at.

import { createHash, randomBytes } from 'node:crypto';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
export const [CONTINUATION, TEXT, CLOSE, PING, PONG] = [0, 1, 8, 9, 10];

/** Always the same, so that a server which unmasks the wrong bytes makes the same of them each time. */
const MASK = Buffer.from([0x1b, 0x2e, 0x4d, 0x73]);

/** One frame, masked as a client must. */
export function frame(payload, { opcode = TEXT, fin = true } = {}) {
  const bytes = Buffer.from(payload);
  const size = bytes.length;
  const head = [(fin ? 0x80 : 0) | opcode];
  if (size < 126) head.push(0x80 | size);
  else if (size < 65536) head.push(0x80 | 126, size >> 8, size & 255);
  else head.push(0x80 | 127, 0, 0, 0, 0, size >>> 24, (size >> 16) & 255, (size >> 8) & 255, size & 255);
  return Buffer.concat([Buffer.from(head), MASK, bytes.map((byte, at) => byte ^ MASK[at % 4])]);
}

export function closeFrame(code, reason) {
  return frame(Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]), { opcode: CLOSE });
}

/** The request of a browser, its headers in the order of Chromium: the cookies stand before the key. */
function request(key, extra) {
  const headers = {
    Host: 'localhost',
    Connection: 'Upgrade',
    Pragma: 'no-cache',
    'Cache-Control': 'no-cache',
    'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64)',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Accept-Encoding': 'gzip, deflate, br',
    'Accept-Language': 'en-GB,en;q=0.9',
    ...extra,
    'Sec-WebSocket-Key': key,
    'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits',
  };
  return ['GET / HTTP/1.1', ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n');
}

/** The next whole frame of `bytes`, or null: { fin, opcode, payload, sound, size }. */
function parse(bytes) {
  if (bytes.length < 2) return null;
  let [size, at] = [bytes[1] & 0x7f, 2];
  if (size === 126) {
    if (bytes.length < 4) return null;
    [size, at] = [bytes.readUInt16BE(2), 4];
  } else if (size === 127) {
    if (bytes.length < 10) return null;
    [size, at] = [Number(bytes.readBigUInt64BE(2)), 10];
  }
  if (bytes.length < at + size) return null;
  const [fin, opcode] = [(bytes[0] & 0x80) !== 0, bytes[0] & 0x0f];
  const sound = (bytes[0] & 0x70) === 0 && (bytes[1] & 0x80) === 0;
  return { fin, opcode, sound, payload: bytes.subarray(at, at + size), size: at + size };
}

/** Waits until `fact` holds of what these have got, `limit` milliseconds at most, and says whether it does. */
export async function until(peers, fact, limit) {
  if (fact()) return true;
  return new Promise((resolve) => {
    const look = () => { if (fact()) over(true); };
    const watches = peers.map((peer) => peer.watch(look));
    const timer = setTimeout(() => over(false), limit);
    const over = (held) => {
      clearTimeout(timer);
      watches.forEach((forget) => forget());
      resolve(held);
    };
  });
}

export class Peer {
  /** What came as a message: strings; null for what is no text of RFC 6455, for which a client has to hang up. */
  heard = [];
  /** Messages that are not worth noting. */
  ignores = null;
  pongs = [];
  /** What the other side closed with: { code, reason }. */
  closed = null;
  /** Whether the TCP stream has ended, or never began. */
  ended = false;
  /** What the request got: { status, body }; null while nothing has come. */
  answer = null;
  #rest = Buffer.alloc(0);
  #waiting = new Set();

  /** `bare`: the TCP below TLS. */
  constructor(socket, bare = socket) {
    this.socket = socket;
    this.bare = bare;
    bare.setNoDelay(true);
    bare.on('error', () => {});
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => this.#end());
    socket.on('end', () => this.#end());
  }

  #end() {
    this.ended = true;
    this.#stir();
  }

  #stir() {
    this.#waiting.forEach((look) => look());
  }

  /** Waits until `fact` holds, `limit` milliseconds at most, and says whether it does. */
  until(fact, limit) {
    return until([this], fact, limit);
  }

  /** Calls `look` whenever something has come; gives how to be rid of it. */
  watch(look) {
    this.#waiting.add(look);
    return () => this.#waiting.delete(look);
  }

  #take(chunk) {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    if (!this.answer) this.#readHead();
    if (this.answer?.status === 101) this.#readFrames();
    else if (this.answer) this.answer.body = this.#rest.toString();
    this.#stir();
  }

  #readHead() {
    const end = this.#rest.indexOf('\r\n\r\n');
    if (end < 0) return;
    const head = this.#rest.subarray(0, end).toString('latin1');
    this.#rest = this.#rest.subarray(end + 4);
    const accept = /^sec-websocket-accept: *(\S+)/im.exec(head)?.[1];
    this.answer = { status: Number(head.split(' ')[1]), right: accept === this.accept, body: '' };
  }

  #readFrames() {
    for (let one = parse(this.#rest); one; one = parse(this.#rest)) {
      this.#rest = this.#rest.subarray(one.size);
      this.#note(one);
    }
  }

  #note({ fin, opcode, sound, payload }) {
    if (sound && opcode === PONG) this.pongs.push(payload.toString());
    else if (sound && opcode === CLOSE) {
      this.closed = payload.length < 2 ? { code: 1005, reason: '' }
        : { code: payload.readUInt16BE(0), reason: payload.subarray(2).toString() };
    } else if (sound && opcode === PING) this.write(frame(payload, { opcode: PONG }));
    else this.#hear(sound && fin && opcode === TEXT ? text(payload) : null);
  }

  #hear(words) {
    if (!this.ignores?.test(words)) this.heard.push(words);
  }

  /** Sends bytes, and resolves when the kernel has them: two writes are two segments, two TLS records. */
  async write(bytes) {
    if (this.ended || this.socket.destroyed) return;
    await new Promise((resolve) => { this.socket.write(bytes, resolve); });
  }

  say(words) { return this.write(frame(words)); }

  /** Asks for a WebSocket; gives whether it got one. `this.refusal` says why not. */
  async shakeHands(headers, limit) {
    const key = randomBytes(16).toString('base64');
    this.accept = createHash('sha1').update(key + GUID).digest('base64');
    await this.ask(request(key, headers), limit);
    return this.refusal === null;
  }

  /** Sends a request, and waits for its answer. */
  async ask(head, limit) {
    this.write(head);
    await this.until(() => this.answer || this.ended, limit);
  }

  /** Why this is no WebSocket, or null. */
  get refusal() {
    if (!this.answer) return this.ended ? 'closed' : 'hangs';
    if (this.answer.status !== 101) return `refused ${this.answer.status}`;
    return this.answer.right ? null : 'wrong accept';
  }

  /** Leaves without a word: by a reset where that can be (a unix socket has none). */
  reset() {
    if (this.bare.remoteAddress) this.bare.resetAndDestroy();
    this.bare.destroy();
    this.socket.destroy();
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function text(payload) {
  try {
    return UTF8.decode(payload);
  } catch {
    return null;
  }
}
