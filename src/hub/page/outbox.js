// Messages on their way: each waits in view until the server has given it its place, and is sent again with the same
// `ref` when that is not known, so that it is said once.

import { arrange, button, called, make } from "./?asset=make.js";
import { newRef } from "./?asset=v1.js";
import { refused } from "./?asset=words.js";

/** Refusals that pass by themselves: the message waits a little and tries again. */
const PASSING = new Set(["rate_limited", "slow_mode"]);
const PAUSE = 1500; // milliseconds to wait when such a refusal does not say how long

export class Outbox {
  #entries; // { ref, room, text, time, to?, state, why, item }
  #pauses = new Map(); // room → timer

  /** `send(entry)` gives a promise of the `ack`; `failed(words)` tells the person. */
  constructor(state, store, { send, failed }) {
    Object.assign(this, { state, store, send, failed });
    this.#entries = store.unsent.map((kept) => ({ ...kept, state: kept.failed ? "failed" : "waiting", why: kept.failed ?? "" }));
  }

  /** Takes a message for this room, or for one member of it. */
  add(room, text, to = null) {
    this.#entries.push({ ref: newRef(), room: room.name, text, time: Date.now(), to, state: "waiting", why: "" });
    this.#changed(room);
    room.log.toEnd();
    this.pump(room);
  }

  /** Sends what waits for this room, one after the other: what was written first is said first. */
  async pump(room) {
    if (room.condition !== "in" || this.#pauses.has(room)) return;
    const mine = this.#entries.filter((entry) => entry.room === room.name);
    const entry = mine.find(({ state }) => state === "waiting");
    if (!entry || mine.some(({ state }) => state === "sending")) return;
    entry.state = "sending";
    this.#changed(room);
    try {
      this.#placed(room, entry, await this.send(entry));
    } catch (error) {
      this.#refused(room, entry, error);
    }
    this.pump(room);
  }

  /** A message of one's own came in; if it is one of these, it need not be shown twice until its `ack` is here. */
  heard(room, { text }) {
    const entry = this.#entries.find(({ room: name, text: mine, state, seen, to }) => (
      name === room.name && mine === text && state === "sending" && !seen && !to));
    if (!entry) return;
    entry.seen = true;
    this.show(room);
  }

  /** Draws what waits in this room. */
  show(room) {
    const mine = this.#entries.filter((entry) => entry.room === room.name && !entry.seen);
    mine.forEach((entry) => { entry.item ??= this.#item(entry); });
    mine.forEach((entry) => this.#describe(room, entry));
    arrange(room.log.unsent, mine.map(({ item }) => item));
  }

  /** What waits because it was too much at once is tried now: the rules have changed. */
  hurry(room) {
    clearTimeout(this.#pauses.get(room));
    this.#pauses.delete(room);
    this.pump(room);
  }

  /** Nothing is to be said in this room any more. */
  forget(room) {
    clearTimeout(this.#pauses.get(room));
    this.#pauses.delete(room);
    this.#entries = this.#entries.filter((entry) => entry.room !== room.name);
    this.#keep();
  }

  #placed(room, entry, { id, time }) {
    this.#drop(entry);
    this.#changed(room);
    const aside = entry.to ? make("span", { class: "aside" }, " to ", called(entry.to.name), " only") : undefined;
    if (id) room.log.put({ id, time: time ?? entry.time, from: this.state.me, text: entry.text, aside });
  }

  #refused(room, entry, error) {
    entry.state = "waiting";
    if (error.code === "lost") {
      // Whether it arrived is not known; it goes again, with the same ref, when the room is joined again.
      entry.why = "";
    } else if (PASSING.has(error.code)) {
      entry.why = refused(error);
      this.#pauses.set(room, setTimeout(() => {
        this.#pauses.delete(room);
        this.pump(room);
      }, Number.isFinite(error.retry) ? Math.max(100, error.retry) : PAUSE));
    } else {
      entry.state = "failed";
      entry.why = refused(error);
      this.failed(`Your message was not sent: ${entry.why}.`);
    }
    this.#changed(room);
  }

  #drop(entry) {
    this.#entries.splice(this.#entries.indexOf(entry), 1);
  }

  #keep() {
    this.store.unsent = this.#entries.map(({ ref, room: name, text, time, to, state, why }) => (
      { ref, room: name, text, time, to, failed: state === "failed" ? why : undefined }));
    this.store.save();
  }

  #changed(room) {
    this.#keep();
    this.show(room);
    this.state.tell("messages", room);
  }

  #item(entry) {
    const said = make("span", { class: "said", dir: "auto" }, entry.text);
    entry.words = make("span", { class: "state" });
    entry.again = button("Send again", () => this.#retry(entry));
    entry.away = button("Discard", () => this.#discard(entry));
    const to = entry.to ? [make("span", { class: "aside" }, "to ", called(entry.to.name), " only")] : [];
    return make("li", { class: "message waiting" }, ...to, said, entry.words, entry.again, entry.away);
  }

  #describe(room, entry) {
    entry.item.dataset.state = entry.state;
    const held = this.#pauses.has(room) && entry.why ? `Waiting: ${entry.why}` : "Waiting to be sent";
    entry.words.textContent = { waiting: held, sending: "Sending…", failed: `Not sent: ${entry.why}` }[entry.state];
    entry.again.hidden = entry.state !== "failed";
    entry.away.hidden = entry.state !== "failed";
  }

  #retry(entry) {
    const room = this.state.rooms.get(entry.room);
    Object.assign(entry, { state: "waiting", why: "" });
    this.#changed(room);
    this.pump(room);
  }

  #discard(entry) {
    this.#drop(entry);
    this.#changed(this.state.rooms.get(entry.room));
  }
}
