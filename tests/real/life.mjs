// A gateway with some life in it, to be looked at: people who chat, clients of a Node and of a PHP server, and others who
// are refused. Nothing here is a test.

import { randomInt } from 'node:crypto';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import WebSocket from 'ws';
import { configured, echoServer, file, php } from './support.mjs';

const HERE = path.dirname(fileURLToPath(import.meta.url));
export const TOKEN = 'a-token-for-pictures-alone';

/** What is cleaned up when a script is done, as tests do it by themselves. */
export function stage() {
  const jobs = [];
  return {
    after: (job) => jobs.unshift(job),
    clear: async () => { for (const job of jobs.splice(0)) await job(); },
  };
}

/** A gateway with a hub, a pool of two Node servers and one of a PHP server, and with its admin door open. */
export async function town(t) {
  const node = () => echoServer(t, 'node', [path.join(HERE, '../autobahn/echo_ws.cjs'), HERE]);
  const [one, two, legacy] = [await node(), await node(), await php(t, 'event-loop.php')];
  const token = await file(t, 'admin.token', TOKEN);
  const gate = await configured(t, `
workers = 2
[tls]
self_signed = ["localhost"]
[admin]
listen = "127.0.0.1:0"
token_file = "${token}"
[limits]
connections_per_address = 1000
handshakes_per_address = "1000/s"
[[route]]
path = "/chat"
hub = { history = 200, page = true }
[[route]]
path = "/prices"
proxy = { pool = "app" }
[[route]]
path = "/support"
proxy = { pool = "php", profile = "ratchet" }
[[route]]
path = "/echo"
echo = {}
[pool.app]
backends = ["${one.url}", "${two.url}"]
connections_per_backend = 500
health = "tcp"
[pool.php]
backends = ["${legacy.url}"]
connections_per_backend = 200
`);
  while (!gate.door) {
    gate.door = /admin="(http:\/\/[^"]+)"/.exec(gate.errors)?.[1];
    await new Promise(setImmediate);
  }
  return gate;
}

/** Does it again and again, after a while that is never the same, until the stage is cleared. */
function keep(t, mean, act) {
  let timer;
  const next = () => { timer = setTimeout(() => { act(); next(); }, mean * (0.4 + Math.random() * 1.2)); };
  next();
  t.after(() => clearTimeout(timer));
}

/** A client that comes, stays for some time, and says something now and then. */
function client(t, url, { every, size, stays, from, ...options }) {
  const socket = new WebSocket(url, { rejectUnauthorized: false, localAddress: `127.0.0.${from}`, ...options });
  socket.on('error', () => {});
  const timers = [setTimeout(() => socket.close([1000, 1000, 1001, 4000][randomInt(4)], 'done'), stays)];
  const say = () => {
    if (socket.readyState === WebSocket.OPEN) socket.send('x'.repeat(1 + randomInt(size)));
    timers[1] = setTimeout(say, every * (0.3 + Math.random() * 1.4));
  };
  socket.on('open', say);
  const end = () => timers.forEach(clearTimeout);
  socket.on('close', end);
  t.after(() => { end(); socket.terminate(); });
  return socket;
}

const TALK = [
  ['Ada', 'Good morning! The new release is on the test server.'],
  ['Grace', 'Looking at it now. Sign-in is quicker than before, by a lot.'],
  ['Linus', 'Which version of PHP is behind it?'],
  ['Ada', '8.2, and not a line of it has changed. wsgate stands in front.'],
  ['Grace', 'Then where did the certificate warnings go?'],
  ['Ada', 'wss:// at the door, plain ws:// behind it. See https://example.com/notes/tls for how.'],
  ['Linus', 'Nice. I pulled the plug on the server for ten seconds, and nobody was thrown out.'],
  ['Margaret', 'I saw “Waiting”, then all of your messages at once. In order, too!'],
  ['Grace', 'Let us leave it in over lunch. Who watches the plots?'],
  ['Margaret', 'I do. They are as calm as the sea.'],
];

/** Members of the hub, who speak its language once they are `there`: `say(at)` has one say what stands at this place. */
export function talkers(t, gate, room = '/chat/lobby', talk = TALK) {
  const names = [...new Set(talk.map(([name]) => name))];
  const sockets = new Map(names.map((name) => {
    const socket = new WebSocket(`${gate.url}${room}`, ['wsgate.chat.v1'], { rejectUnauthorized: false });
    socket.on('error', () => {});
    t.after(() => socket.terminate());
    return [name, socket];
  }));
  let refs = 0;
  const tell = (name, message) => sockets.get(name).send(JSON.stringify({ ref: `p${refs += 1}`, ...message }));
  const there = names.map((name) => new Promise((resolve) => {
    sockets.get(name).on('message', (data) => {
      const { type } = JSON.parse(data);
      if (type === 'hello') {
        tell(name, { type: 'name', name });
        tell(name, { type: 'join' });
      }
      if (type === 'joined') resolve();
    });
  }));
  const say = (at) => {
    const [name, text] = talk[at % talk.length];
    tell(name, { type: 'say', room: room.slice('/chat/'.length), text });
  };
  return { there: Promise.all(there), say, length: talk.length };
}

/** Fills the town: clients come and go, some are refused. */
export function bustle(t, gate) {
  const waves = () => 1 + 0.6 * Math.sin(Date.now() / 23_000);
  const come = (route, wishes) => client(t, `${gate.url}${route}`, { from: 2 + randomInt(40), ...wishes });
  const prices = () => come('/prices', { every: 900 / waves(), size: 700, stays: 20_000 + randomInt(90_000) });
  const support = () => come('/support', { every: 4000, size: 200, stays: 30_000 + randomInt(60_000) });
  const echo = () => come('/echo', { every: 2500, size: 2000, stays: 15_000 + randomInt(30_000) });
  const member = () => come('/chat/garden', { every: 60_000, size: 40, stays: 40_000 + randomInt(60_000) });
  for (let i = 0; i < 70; i += 1) prices();
  for (let i = 0; i < 12; i += 1) support();
  for (let i = 0; i < 8; i += 1) echo();
  for (const room of ['garden', 'support', 'releases']) {
    for (let i = 0; i < 4; i += 1) come(`/chat/${room}`, { every: 9000, size: 60, stays: 600_000 });
  }
  keep(t, 800, prices);
  keep(t, 4500, support);
  keep(t, 3500, echo);
  keep(t, 9000, member);
  keep(t, 1700, () => come('/prices', { every: 1000, size: 9, stays: 5000, origin: 'https://elsewhere.example' }));
  keep(t, 4100, () => come('/nothing-here', { every: 1000, size: 9, stays: 5000 }));
  keep(t, 2600, () => fetch(`${gate.door}/healthz`).catch(() => {}));
}
