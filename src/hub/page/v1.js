// The chat language wsgate.chat.v1: JSON both ways, questions with a `ref` that their answers carry back, and a session
// that is resumed where it was cut.

import { Heard } from "./?asset=heard.js";
import { oneLine, refused, shut } from "./?asset=words.js";

export const V1 = "wsgate.chat.v1";

const PAGE = 50; // messages asked for at once
const PATIENCE = 10000; // an answer that takes longer, in milliseconds, makes one ask whether the line is alive
const SILENCE = 60000; // so does hearing nothing for so long
const LOOK_EVERY = 5000;
const PAUSE = 1000; // milliseconds before a room is tried again that was too much at once

/** 96 random bits: a `ref` names a question, and a message for as long as its room remembers. */
export function newRef() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Why a question has no good answer: the server's `error`, or `lost` with the connection. */
class Refused extends Error {
  constructor({ code, text, retry }) {
    super(refused({ code, text }));
    Object.assign(this, { code, text, retry });
  }
}

/** From where on a room is told: what was missed, or the latest where nothing is known. */
const from = ({ log }) => (log.newest === null ? { history: PAGE } : { since: log.newest });

const LOST = { code: "lost" };

export class Language {
  #asked = new Map(); // ref → { resolve, reject, since }
  #heardAt = 0;
  #probeAt = 0; // when "are you there?" was asked, 0 when it was not
  #watch;

  /**
   * `hooks`: `greeted()` when one is somebody here, `joined(room)`, `heard(room, message)` for one's own words that
   * came back, `paced(room)` when it is slower or faster now, `banner(words)`, and `secret(room)`, which asks for a
   * password.
   */
  constructor(state, store, line, hooks) {
    Object.assign(this, { state, store, line, hooks });
    this.heard = new Heard(state, this, hooks);
  }

  open() {
    this.#heardAt = Date.now();
    this.#watch = setInterval(() => this.#look(), LOOK_EVERY);
  }

  lost() {
    clearInterval(this.#watch);
    this.#probeAt = 0;
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    this.state.rooms.forEach((room) => {
      if (room.condition === "in" || room.condition === "joining") room.condition = "new";
      this.state.tell("room", room);
    });
    asked.forEach(({ reject }) => reject(new Refused(LOST)));
  }

  receive(text) {
    this.#heardAt = Date.now();
    this.#probeAt = 0;
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return; // a server that errs in its own language is not helped by a page that stops
    }
    if (typeof message !== "object" || message === null) return;
    const asked = this.#asked.get(message.ref);
    this.#asked.delete(message.ref);
    if (asked && message.type === "error") return asked.reject(new Refused(message));
    // What it says is done before whoever asked goes on.
    this.heard.take(message);
    asked?.resolve(message);
  }

  /** Asks with this `ref`, or a new one; rejects with the server's error, or `lost`. */
  ask(type, fields = {}, ref = newRef()) {
    return new Promise((resolve, reject) => {
      if (!this.tell(type, { ref, ...fields })) return reject(new Refused(LOST));
      this.#asked.set(ref, { resolve, reject, since: Date.now() });
    });
  }

  /** Says something that needs no answer; false without a connection. */
  tell(type, fields = {}) {
    return this.line.send(JSON.stringify({ type, ...fields }));
  }

  /** Back in view or online: is the line still there? */
  probe() {
    if (this.line.state !== "connected" || this.#probeAt !== 0) return;
    const room = this.state.current;
    this.ask("history", { room: room?.name, since: room?.log.newest ?? undefined, limit: 1 }).catch(() => {});
    this.#probeAt = Date.now();
  }

  /** Enters a room, or comes back to it from where it was left; rejects when that is not allowed. */
  async join(room, secret = room.secret) {
    room.condition = "joining";
    this.state.tell("room", room);
    try {
      await this.ask("join", { room: room.name, secret, ...from(room) });
    } catch (error) {
      this.notIn(room, error);
      throw error;
    }
    if (secret !== undefined) room.secret = secret;
    this.remember();
  }

  async leave(room) {
    if (room.condition === "in") await this.ask("leave", { room: room.name });
  }

  /** Asks for messages before the oldest one that is shown, and on until they fill the view. */
  async older(room) {
    if (!room.older || room.asked || room.condition !== "in") return;
    const before = room.log.oldest ?? undefined;
    room.asked = true;
    try {
      await this.ask("history", { room: room.name, before, limit: PAGE });
    } catch {
      return; // the button stays, and so does the way to try again
    } finally {
      room.asked = false;
    }
    // A server that has "more" and gives none is not asked for ever.
    if ((room.log.oldest ?? undefined) === before) room.older = false;
    room.log.showOlder(room.older);
    if (room.log.wantsOlder) this.older(room);
  }

  /** Asks for the messages that were missed between these two, from the newest to the oldest. */
  async fill(room, since, before) {
    let answer;
    try {
      answer = await this.ask("history", { room: room.name, since, before, limit: PAGE });
    } catch (error) {
      if (error.code !== "rate_limited") return room.log.gap(since);
      return void setTimeout(() => this.fill(room, since, before), error.retry ?? PAUSE);
    }
    const first = answer.messages[0]?.id;
    if (answer.more !== true || first === undefined) return;
    if (room.log.oldest <= first) return this.fill(room, since, first);
    // The list has lost its head, and is whole from there on: the rest is older, and comes by scrolling.
    room.older = true;
    room.log.showOlder(true);
  }

  who(room) {
    this.ask("who", { room: room.name }).catch(() => {}); // the list stays as it was
  }

  /** Writes down which rooms to come back to after a reload. */
  remember() {
    const kept = [...this.state.rooms.values()].filter(({ condition }) => condition !== "refused" && condition !== "out");
    this.store.rooms = kept.map(({ name, secret }) => ({ name, secret }));
    this.store.save();
  }

  /** Comes back as who one was, or begins as somebody new. */
  async greeted(hello) {
    const { state, store } = this;
    Object.assign(state, { moderator: hello.moderator === true, limits: { ...state.limits, ...hello.limits } });
    store.rooms.forEach(({ name, secret }) => state.room(name, typeof secret === "string" ? secret : undefined));
    const start = state.room(hello.room);
    if (state.current === null) state.turn(start);
    const all = [...state.rooms.values()].filter(({ condition }) => condition === "new");
    all.sort((a, b) => (b === state.current) - (a === state.current));
    const rooms = all.slice(0, state.limits.rooms);
    all.slice(rooms.length).forEach((room) => this.notIn(room, { code: "too_many_rooms" }));
    if (store.session !== null && store.session !== hello.session && await this.#resume(rooms)) return;
    store.session = hello.session;
    store.save();
    this.be(hello);
    if (store.name !== null) this.ask("name", { name: store.name }).catch(() => {});
    rooms.forEach((room) => this.join(room).catch(() => {}));
  }

  /** Whether nothing is left to do: one is who one was, or the connection is lost again. */
  async #resume(rooms) {
    const { session, name } = this.store;
    const wanted = rooms.map((room) => ({ room: room.name, secret: room.secret, ...from(room) }));
    rooms.forEach((room) => { room.condition = "joining"; });
    // A name that was given by hand is asked for again; when somebody else has it now, the default has to do.
    for (const wish of name === null ? [undefined] : [name, undefined]) {
      try {
        await this.ask("resume", { session, name: wish, rooms: wanted });
        return true;
      } catch (error) {
        if (error.code === "lost") return true;
      }
    }
    rooms.forEach((room) => { room.condition = "new"; });
    return false;
  }

  /** Who one is from now on. */
  be({ id, name }) {
    const { me } = this.state;
    // Whoever has no name of their own gets another number each time, which is no news.
    const isNews = me.id !== null && me.name !== name && !/^User #/.test(name);
    if (isNews) this.state.current?.log.note(`You are called ${oneLine(name)} now.`);
    Object.assign(me, { id, name });
    this.state.tell("me");
    if (this.line.state !== "connected") this.hooks.greeted();
  }

  /** The server does not let one in. */
  notIn(room, error) {
    if (error.code === "lost") return;
    if (error.code === "rate_limited" && this.line.state === "connected") {
      room.condition = "new";
      setTimeout(() => room.condition === "new" && this.join(room).catch(() => {}), error.retry ?? PAUSE);
      return;
    }
    room.condition = "refused";
    room.why = `You cannot enter this room: ${shut(error)}.`;
    this.state.tell("room", room);
    if (error.code === "wrong_secret") this.hooks.secret(room);
  }

  /** A browser takes minutes to notice that a network is gone; asking takes seconds. */
  #look() {
    const now = Date.now();
    if (this.line.state !== "connected") return;
    if (this.#probeAt !== 0) {
      if (now - this.#probeAt > PATIENCE) this.line.suspect();
      return;
    }
    const waiting = Math.min(...[...this.#asked.values()].map(({ since }) => since));
    const quiet = now - this.#heardAt;
    if (quiet > SILENCE || (quiet > PATIENCE && now - waiting > PATIENCE)) this.probe();
  }
}
