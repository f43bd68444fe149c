// A hub that plays its part by the test's book: it serves the chat page's own files and speaks wsgate.chat.v1 as far as
// the page needs it, and errs, refuses and falls silent when told to, which a real gateway does too seldom to be tried.

import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { EventEmitter, once } from 'node:events';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocketServer } from 'ws';

const SOURCE = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../src/hub');
const KINDS = { '.css': 'text/css', '.js': 'text/javascript', '.html': 'text/html' };

/** The page's policy, as the gateway sends it. */
async function policy() {
  const source = await readFile(path.join(SOURCE, 'page.rs'), 'utf8');
  return /CONTENT_SECURITY_POLICY: &str = "([^"]*)"/.exec(source)[1].replace(/\\\n\s*/g, '');
}

class Actor {
  rooms = new Map(); // name → [{ id, time, from, text }]
  members = new Set(); // connections, each with { id, name, session, rooms }
  asked = []; // all that was ever asked, in order
  refs = new Map(); // `member ref` → ack
  moderator = false;
  plain = false; // whether it does not know the language at all
  most = 50; // messages in one answer
  limits = { text: 4096, rooms: 16, rate: 5, burst: 20 };
  #doors = new EventEmitter();
  #last = 0n;
  #users = 0;

  /** Looks at each request first: what it returns is answered in the place of the usual; `false`: nothing is. */
  instead = () => undefined;

  room(name) {
    if (!this.rooms.has(name)) this.rooms.set(name, []);
    return this.rooms.get(name);
  }

  nextId() {
    const now = BigInt(Date.now()) << 16n;
    this.#last = now > this.#last ? now : this.#last + 1n;
    return this.#last.toString(16).padStart(16, '0');
  }

  /** Tells everyone in this room. */
  tell(room, message, except = null) {
    for (const member of this.members) if (member.rooms.has(room) && member !== except) this.send(member, message);
  }

  send(member, message) { member.socket.send(JSON.stringify(message)); }

  /** Somebody who is not there says something. */
  say(room, text, name = 'Ada', id = 'ada0000000000000') {
    const message = { id: this.nextId(), time: Date.now(), from: { id, name }, text };
    this.room(room).push(message);
    this.tell(room, { type: 'say', room, ...message });
    return message;
  }

  /** Until the one who came last is in a room: what is told from then on reaches a page that knows where it belongs. */
  async settled() {
    while (![...this.members].at(-1)?.rooms.size) await once(this.#doors, 'in');
  }

  /** Ends every connection without a word, or with this close. */
  cut(code) {
    this.members.forEach(({ socket }) => (code ? socket.close(code) : socket.terminate()));
  }

  enter(socket, at) {
    const session = randomBytes(16).toString('hex');
    this.#users += 1;
    const member = { socket, session, id: '', name: `User #${this.#users}`, rooms: new Set(), at };
    this.#know(member, session);
    this.members.add(member);
    socket.on('close', () => {
      this.members.delete(member);
      const { id, name } = member;
      member.rooms.forEach((room) => this.tell(room, { type: 'leave', room, id, name, time: Date.now() }));
    });
    socket.on('message', (data) => this.#hear(member, JSON.parse(data)));
    const { id, name } = member;
    const { limits, moderator } = this;
    this.send(member, { type: 'hello', id, session, name, room: at, time: Date.now(), limits, moderator });
  }

  /** In the plain language: what was said before, and from then on everything. */
  enterPlain(socket) {
    const member = { socket, rooms: new Set() };
    this.members.add(member);
    socket.on('close', () => this.members.delete(member));
    this.room('').forEach((line) => socket.send(line));
    socket.on('message', (text) => {
      const line = `User #1: ${text}`.replaceAll('<', '&lt;');
      this.room('').push(line);
      this.members.forEach((other) => other.socket.send(line));
    });
  }

  #know(member, session) {
    member.session = session;
    member.id = createHash('sha256').update(session).digest('hex').slice(0, 16);
  }

  #hear(member, message) {
    this.asked.push(message);
    const answer = this.instead(message, member);
    if (answer === false) return;
    if (answer) return this.send(member, { ref: message.ref, ...answer });
    this[`on_${message.type}`]?.(member, { room: member.at, ...message });
  }

  on_join(member, { ref, room, since, history }) {
    const last = this.room(room).at(-1)?.id ?? null;
    member.rooms.add(room);
    const members = [...this.members].filter(({ rooms }) => rooms.has(room)).length;
    this.send(member, { type: 'joined', ref, room, members, last, read_only: false, slow: 0, history: 1000 });
    this.on_history(member, { room, since, limit: history });
    this.#doors.emit('in');
    this.tell(room, { type: 'join', room, id: member.id, name: member.name, time: Date.now() }, member);
  }

  on_leave(member, { ref, room }) {
    member.rooms.delete(room);
    this.send(member, { type: 'left', ref, room });
    this.tell(room, { type: 'leave', room, id: member.id, name: member.name, time: Date.now() });
  }

  on_say(member, { ref, room, text }) {
    if (!member.rooms.has(room)) return this.send(member, { type: 'error', ref, code: 'not_joined', text: '' });
    const key = `${member.id} ${ref}`;
    if (!this.refs.has(key)) {
      const { id, time } = this.say(room, text, member.name, member.id);
      this.refs.set(key, { type: 'ack', ref, id, time, room });
    }
    this.send(member, this.refs.get(key));
  }

  on_to(member, { ref, member: id, text }) {
    const other = [...this.members].find((one) => one.id === id);
    if (!other) return this.send(member, { type: 'error', ref, code: 'no_such_member', text: '' });
    const from = { id: member.id, name: member.name };
    const message = { id: this.nextId(), time: Date.now(), from, to: { id, name: other.name }, text };
    this.send(other, { type: 'to', ...message });
    this.send(member, { type: 'ack', ref, id: message.id, time: message.time });
  }

  on_name(member, { ref, name }) {
    const was = member.name;
    member.name = name;
    member.rooms.forEach((room) => this.tell(room, { type: 'name', room, id: member.id, name, was }));
    this.send(member, { type: 'ack', ref, id: null, time: Date.now() });
  }

  on_who(member, { ref, room }) {
    const members = [...this.members].filter(({ rooms }) => rooms.has(room)).map(({ id, name }) => ({ id, name }));
    this.send(member, { type: 'who', ref, room, count: members.length, members, more: false });
  }

  on_history(member, { ref, room, before, since, limit = this.most }) {
    const said = this.room(room).filter(({ id }) => (!before || id < before) && (!since || id > since));
    const messages = said.slice(-Math.min(limit, this.most));
    this.send(member, { type: 'history', ref, room, messages, more: messages.length < said.length });
  }

  on_typing(member, { room }) {
    this.tell(room, { type: 'typing', room, from: { id: member.id, name: member.name } }, member);
  }

  on_resume(member, { ref, session, name, rooms }) {
    for (const other of this.members) if (other !== member && other.session === session) other.socket.close(4409);
    this.#know(member, session);
    if (name) member.name = name;
    this.send(member, { type: 'resumed', ref, id: member.id, name: member.name });
    for (const wish of rooms) {
      const refused = this.instead({ type: 'join', ...wish }, member);
      if (refused) this.send(member, { ref, room: wish.room, ...refused });
      else this.on_join(member, wish);
    }
  }

  on_delete(member, { ref, room, id }) {
    this.rooms.set(room, this.room(room).filter((message) => message.id !== id));
    this.tell(room, { type: 'delete', room, id });
    this.send(member, { type: 'ack', ref, id, time: Date.now() });
  }

  on_mute(member, { ref }) { this.send(member, { type: 'ack', ref, id: null, time: Date.now() }); }
  on_ban(member, request) { this.on_mute(member, request); }
  on_kick(member, request) { this.on_mute(member, request); }
  on_unban(member, request) { this.on_mute(member, request); }

  on_slow(member, { ref, room, seconds }) {
    this.tell(room, { type: 'notice', room, code: 'slow', text: '', seconds });
    this.on_mute(member, { ref });
  }
}

/** Starts it on any free port; the page is at `page`, below `/chat`. */
export async function actor(t) {
  const hub = new Actor();
  const headers = { 'Content-Security-Policy': await policy(), 'X-Content-Type-Options': 'nosniff' };
  const server = http.createServer(async (request, response) => {
    const name = new URL(request.url, 'http://a').searchParams.get('asset') ?? 'index.html';
    const body = await readFile(path.join(SOURCE, 'page', path.basename(name))).catch(() => null);
    const kind = `${KINDS[path.extname(name)]}; charset=utf-8`;
    response.writeHead(body ? 200 : 404, { ...headers, 'Content-Type': kind });
    response.end(body);
  });
  const sockets = new WebSocketServer({ server, handleProtocols: () => !hub.plain && 'wsgate.chat.v1' });
  sockets.on('connection', (socket, { url }) => {
    if (hub.plain) return hub.enterPlain(socket);
    hub.enter(socket, decodeURIComponent(url.replace(/^\/chat\/?/, '')) || 'lobby');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    hub.members.forEach(({ socket }) => socket.terminate());
    server.close();
    server.closeAllConnections();
  });
  hub.page = `http://127.0.0.1:${server.address().port}`;
  return hub;
}
