// What clients do, one function for each: it does it, looks at what comes of it, and gives a word for that.
//
// A verdict is `right`; `refused CODE`, with a status or a close code; or what went wrong, the worst of it:
//   server down          the process has ended
//   server frozen        the others are not served any more
//   others closed CODE   the others were hung up on
//   junk to others, junk to sender   somebody got what nobody said, or what is no text; a client has to hang up on that
//   torn                 one message arrived as several
//   lost N of M, refused N of M      messages, or connections
//   sender unheard       all was well, but whoever did it is not heard any more
//   let in               a request that is no WebSocket was taken for one
//   no answer, slot kept, no pong, hangs, closed      as they say
// Every wait is for an event and has a bound: a long one where all should be well, a short one where it is known not to be.

import { CONTINUATION, PING, Peer, TEXT, closeFrame, frame, until } from './peer.mjs';
import { SHAPES, connectionsAt, open } from './ways.mjs';
import { PATIENCE, within } from '../support.mjs';

/** One server of a shape, one way to it, and its clients. */
class Cell {
  #marks = 0;

  constructor(t, { shape, way, patience }) {
    Object.assign(this, { t, shape, way, patience, hearing: SHAPES[shape].hearing });
  }

  async start({ obedient = false } = {}) {
    Object.assign(this, await open(this.t, { shape: this.shape, way: this.way, obedient }));
  }

  /** Client number `n`, not yet a WebSocket. */
  dial(n) {
    const [socket, bare = socket] = this.connect(n);
    this.t.after(() => bare.destroy());
    return new Peer(socket, bare);
  }

  /** Client number `n`; peer.refusal says whether it is none. */
  async open(n, { headers = {}, limit = PATIENCE } = {}) {
    const peer = this.dial(n);
    await peer.shakeHands({ ...this.headers(n), ...headers }, limit);
    return peer;
  }

  /** Three clients: `a` will do something, `b` hears it (but from a server that only echoes), `c` is another. */
  async three() {
    for (const [n, name] of ['a', 'b', 'c'].entries()) {
      this[name] = await this.open(n + 1);
      if (this[name].refusal) throw new Error(`client ${name} is no WebSocket: ${this[name].refusal}`);
    }
  }

  /** Who hears what `speaker` says. */
  hearer(speaker) {
    if (this.hearing === 'sender') return speaker;
    return speaker === this.b ? this.c : this.b;
  }

  /** What a client heard, but for greetings and marks, and without the sender's number. */
  heard(peer) {
    return peer.heard.map((words) => words?.replace(/^User #\d+: /, '') ?? null)
      .filter((words) => words === null || !/^(welcome to \/|mark \d+)$/.test(words));
  }

  /** Whether what another client says is heard: then the server has also seen all that was there before. */
  async mark({ by = this.c, again = Infinity } = {}) {
    const hearer = this.hearer(by);
    const deadline = Date.now() + this.patience;
    const over = () => [by, hearer].some((peer) => peer.ended || peer.closed);
    while (!over() && Date.now() < deadline) {
      const words = `mark ${this.#marks += 1}`;
      await Promise.race([by.say(words), hearer.until(() => false, 50)]);
      const fact = () => over() || hearer.heard.some((one) => one?.endsWith(words));
      if (await until([by, hearer], fact, Math.min(again, Math.max(deadline - Date.now(), 0)))) break;
    }
    return hearer.heard.some((one) => one?.endsWith(`mark ${this.#marks}`));
  }

  async #down() {
    const cut = this.others().some((peer) => peer.ended || peer.closed);
    // Its connections end a moment before the process does.
    if (cut) await Promise.race([this.server.exited, this.b.until(() => false, 300)]);
    return this.server.child.exitCode !== null || this.server.child.signalCode !== null;
  }

  others() {
    return [this.b, this.c].filter(Boolean);
  }

  /** The worst that came of what `a` did, where `expected` is what should have been heard; `left`: it meant to leave. */
  async judge(expected, { again, left = false } = {}) {
    const served = await this.mark({ again });
    if (await this.#down()) return 'server down';
    const closed = this.others().find((peer) => peer.closed || peer.ended);
    if (closed) return `others closed ${closed.closed?.code ?? 1006}`;
    if (!served) return 'server frozen';
    // What came of it may reach its sender later than the others, and its sender is to be heard from then on.
    const speaks = left || !this.a || await this.mark({ by: this.a });
    const verdict = this.#junk(expected) ?? (left ? null : this.#refused()) ?? this.#lost(expected);
    return verdict ?? (speaks ? 'right' : 'sender unheard');
  }

  #junk(expected) {
    const strange = (peer) => this.heard(peer).filter((words) => !expected.includes(words));
    const torn = (words) => expected.some((whole) => words && whole.includes(words));
    for (const [peers, name] of [[this.others(), 'others'], [[this.a].filter(Boolean), 'sender']]) {
      const odd = peers.flatMap(strange);
      if (odd.length > 0) return odd.every(torn) ? 'torn' : `junk to ${name}`;
    }
    return null;
  }

  /** Who refuses has to say why. */
  #refused() {
    if (this.a?.closed) return `refused ${this.a.closed.code}${this.a.closed.reason ? '' : ' without a word'}`;
    return this.a?.ended ? 'closed' : null;
  }

  #lost(expected) {
    const heard = this.a ? this.heard(this.hearer(this.a)) : [];
    const missing = expected.filter((words) => !heard.includes(words)).length;
    if (missing > 0) return `lost ${missing} of ${expected.length}`;
    return heard.join() === expected.join() ? null : 'out of order';
  }

  /** `a` does something, after which these messages should be heard, and nothing else. */
  async hears(expected, act) {
    await act();
    const hearer = this.hearer(this.a);
    const enough = () => this.heard(hearer).length >= expected.length || hearer.ended || this.a.ended || this.a.closed;
    await until([hearer, this.a], enough, this.patience);
    return this.judge(expected);
  }

  /** Opens these clients at once; gives them, and those of them that did not get in. */
  async crowd(numbers) {
    const peers = await Promise.all(numbers.map((n) => this.open(n, { limit: this.patience })));
    return { peers, refused: peers.filter((peer) => peer.refusal) };
  }
}

/** More than the kernel's buffers hold on any of the ways, in messages of 1,000 bytes. */
const FLOOD = 12_000;

const several = (count) => Array.from({ length: count }, (_, i) => `message ${i + 1}`);
const upTo = (count) => Array.from({ length: count }, (_, i) => i + 1);
const words = (size) => 'all work and no play makes jack a dull boy, '.repeat(size / 40).slice(0, size);

async function size(cell, bytes) {
  await cell.start();
  await cell.three();
  return cell.hears([words(bytes)], () => cell.a.say(words(bytes)));
}

/** Each condition by its name in the table; `fair` are the refusals that are an answer. */
export const CONDITIONS = {
  'two messages in one segment': {
    async run(cell) {
      await cell.start();
      await cell.three();
      const messages = several(2);
      return cell.hears(messages, () => cell.a.write(Buffer.concat(messages.map((one) => frame(one)))));
    },
  },

  'five messages while the server is busy for 300 ms': {
    async run(cell) {
      await cell.start({ obedient: true });
      await cell.three();
      await cell.c.say('busy');
      await cell.server.line('the word "busy"');
      return cell.hears(several(5), async () => {
        for (const one of several(5)) await cell.a.say(one);
      });
    },
  },

  'a frame in two segments': {
    async run(cell) {
      await cell.start();
      await cell.three();
      const bytes = frame('one message');
      await cell.a.write(bytes.subarray(0, 9));
      // Everybody waits for the other half. A proxy may let one mark overtake it, but not two.
      if (!await cell.mark() || !await cell.mark()) return cell.judge([]);
      return cell.hears(['one message'], () => cell.a.write(bytes.subarray(9)));
    },
  },

  'a message in three fragments': {
    async run(cell) {
      await cell.start();
      await cell.three();
      return cell.hears(['one two three'], async () => {
        await cell.a.write(frame('one ', { fin: false }));
        await cell.mark();
        await cell.a.write(frame('two ', { opcode: CONTINUATION, fin: false }));
        await cell.mark();
        await cell.a.write(frame('three', { opcode: CONTINUATION }));
      });
    },
  },

  'a ping': {
    async run(cell) {
      await cell.start();
      await cell.three();
      await cell.a.write(frame('are you there?', { opcode: PING }));
      const hearer = cell.hearer(cell.a);
      const fact = () => cell.a.pongs.length > 0 || cell.a.ended || cell.heard(hearer).length > 0;
      await until([cell.a, hearer], fact, cell.patience);
      const verdict = await cell.judge([]);
      if (verdict !== 'right') return verdict;
      return cell.a.pongs.join() === 'are you there?' ? 'right' : 'no pong';
    },
  },

  'a close': {
    async run(cell) {
      await cell.start();
      await cell.three();
      const before = await connectionsAt(cell.server.port);
      await cell.a.write(closeFrame(1000, 'bye'));
      await cell.a.until(() => cell.a.closed || cell.a.ended, cell.patience);
      const { closed, ended } = cell.a;
      const verdict = await cell.judge([], { left: true });
      if (verdict !== 'right') return verdict;
      if (closed?.code !== 1000) return ended ? 'closed' : 'no answer';
      return await freed(cell, before - 1) ? 'right' : 'slot kept';
    },
  },

  'a message of 900 bytes': { run: (cell) => size(cell, 900) },
  'a message of 3,000 bytes': { fair: [1009], run: (cell) => size(cell, 3000) },
  'a message of 70,000 bytes': { fair: [1009], run: (cell) => size(cell, 70_000) },

  'text that is not UTF-8, from a client': {
    fair: [1007],
    async run(cell) {
      await cell.start();
      await cell.three();
      await cell.a.write(frame(Buffer.from([0xff, 0xfe]), { opcode: TEXT }));
      const hearer = cell.hearer(cell.a);
      const fact = () => cell.a.ended || cell.a.closed || cell.heard(hearer).length > 0;
      await until([cell.a, hearer], fact, cell.patience);
      const verdict = await cell.judge([]);
      return verdict === 'right' ? 'lost 1 of 1' : verdict;
    },
  },

  'text that is not UTF-8, from the server': {
    async run(cell) {
      await cell.start({ obedient: true });
      await cell.three();
      await cell.a.say('babble');
      return cell.judge([]);
    },
  },

  '15 clients from 15 addresses': {
    async run(cell) {
      await cell.start();
      const { peers, refused } = await cell.crowd(upTo(15));
      if (refused.length > 0) return `refused ${refused.length} of 15`;
      [cell.b, cell.c] = peers;
      return cell.judge([]);
    },
  },

  '10 clients reset, then 5 new ones from the same address': {
    async run(cell) {
      await cell.start();
      for (let times = 0; times < 10; times += 1) {
        const peer = await cell.open(1);
        peer.reset();
        await freed(cell, 0);
      }
      const { peers, refused } = await cell.crowd(Array(5).fill(1));
      if (refused.length > 0) return `refused ${refused.length} of 5`;
      [cell.b, cell.c] = peers;
      return cell.judge([]);
    },
  },

  'a client that stops reading': {
    async run(cell) {
      await cell.start({ obedient: true });
      await cell.three();
      const asleep = await cell.open(4);
      asleep.socket.pause();
      // What anybody hears of it does not matter here: only whether the others are served.
      for (const peer of [cell.a, cell.b, cell.c]) peer.ignores = /^(User #\d+: )?x+$/;
      if (cell.hearing === 'sender') {
        await asleep.say(`flood ${FLOOD}`);
        await cell.server.line('the word "flood"');
      } else {
        // A little at a time, so that whoever reads can keep up.
        for (let sent = 0; sent < FLOOD; sent += 100) {
          await cell.a.say('flood 100');
          if (!await cell.mark({ again: 1000 })) break;
        }
      }
      return cell.judge([], { again: 1000 });
    },
  },

  '4 KiB of cookies': {
    fair: [431],
    async run(cell) {
      await cell.start();
      [cell.b, cell.c] = [await cell.open(2), await cell.open(3)];
      const visitor = await cell.open(1, { headers: { Cookie: cookies(4096) } });
      const { refusal } = visitor;
      if (!refusal) cell.a = visitor;
      const verdict = refusal ? await cell.judge([]) : await cell.hears(['hello'], () => visitor.say('hello'));
      return verdict === 'right' && refusal ? refusal : verdict;
    },
  },

  'a plain GET': {
    fair: [426],
    async run(cell) {
      await cell.start();
      [cell.b, cell.c] = [await cell.open(2), await cell.open(3)];
      const browser = cell.dial(1);
      await browser.ask('GET / HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n', cell.patience);
      const verdict = await cell.judge([]);
      if (verdict !== 'right') return verdict;
      return browser.answer?.status === 101 ? 'let in' : browser.refusal;
    },
  },

  '100 clients at once, the server busy for 300 ms': {
    async run(cell) {
      await cell.start({ obedient: true });
      const first = await cell.open(200);
      await first.say('busy');
      await cell.server.line('the word "busy"');
      const { peers, refused } = await cell.crowd(upTo(100));
      const late = refused.filter((peer) => peer.refusal === 'hangs').length;
      if (late < refused.length) return `refused ${refused.length} of 100`;
      if (late > 0) return `lost ${late} of 100`;
      [cell.b, cell.c] = peers;
      return cell.judge([]);
    },
  },
};

/** A session's cookie, and those of trackers. */
function cookies(bytes) {
  let line = 'PHPSESSID=0123456789abcdef0123456789';
  for (let n = 1; line.length < bytes - 400; n += 1) line += `; tracker${n}=${'t'.repeat(380)}`;
  return `${line}; last=${'l'.repeat(bytes - line.length - 7)}`;
}

/** Whether the server has closed all but so many connections; nobody tells, so it is asked for again and again. */
async function freed(cell, left) {
  const deadline = Date.now() + cell.patience;
  while (await connectionsAt(cell.server.port) > left) {
    if (Date.now() > deadline) return false;
    await new Promise((resolve) => { setTimeout(resolve, 10); });
  }
  return true;
}

/** Does what `condition` says with a server of this shape, this way, and gives the verdict. */
export async function verdict(t, { condition, shape, way, patience }) {
  const cell = new Cell(t, { shape, way, patience });
  return within(CONDITIONS[condition].run(cell), `a verdict on ${condition}, ${shape}, ${way}`, 60_000);
}
