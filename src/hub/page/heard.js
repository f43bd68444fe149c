// What the server says in wsgate.chat.v1, and what becomes of it: one method for each type.

import { called, make } from "./?asset=make.js";
import { notice, oneLine, putOut, refused } from "./?asset=words.js";

const TYPING = 4000; // how long, in milliseconds, somebody is shown to be typing after having been heard of

const isNumber = (name) => /^User #/.test(name);

const KNOWN = new Set(["hello", "resumed", "joined", "left", "join", "leave", "say", "to", "name", "who", "history",
  "gap", "typing", "delete", "notice", "error"]);

export class Heard {
  /** `language` is who asks; `hooks` are those of the page. */
  constructor(state, language, hooks) {
    Object.assign(this, { state, language, hooks });
  }

  /** Types that are not known are ignored, as the language asks. */
  take(message) {
    if (KNOWN.has(message.type)) this[message.type](message);
  }

  hello(message) { this.language.greeted(message); }

  resumed(message) { this.language.be(message); }

  joined({ room: name, members, read_only, slow, last }) {
    const room = this.state.room(name);
    Object.assign(room, { condition: "in", why: "", count: members, readOnly: read_only === true, slow: slow ?? 0 });
    if (!last) room.older = false;
    this.language.remember();
    this.state.tell("rooms");
    this.state.tell("room", room);
    this.language.who(room);
    this.hooks.joined(room);
  }

  /** Put out, or told so by another connection: one's own `leave` has a `ref`. */
  left({ room: name, why, text, ref }) {
    const room = this.state.rooms.get(name);
    if (!room || ref !== undefined) return;
    Object.assign(room, { condition: "out", why: putOut(why, text) });
    room.log.note(room.why);
    this.state.tell("room", room);
  }

  join(message) { this.#moved(message, 1); }

  leave(message) { this.#moved(message, -1); }

  #moved({ room: name, id, name: called }, by) {
    const room = this.state.rooms.get(name);
    if (!room) return;
    if (room.members.has(id) !== (by > 0)) room.count = Math.max(0, room.count + by);
    if (by > 0) room.members.set(id, called);
    else room.members.delete(id);
    room.typing.delete(id);
    this.state.tell("typing", room);
    this.state.tell("members", room);
  }

  say(message) {
    const room = this.state.rooms.get(message.room);
    if (!room) return;
    room.typing.delete(message.from.id);
    this.state.tell("typing", room);
    if (message.from.id === this.state.me.id) this.hooks.heard(room, message);
    room.log.put(message);
    room.log.showOlder(room.older); // a long list may have lost its head
  }

  to(message) {
    const mine = message.from.id === this.state.me.id;
    const aside = make("span", { class: "aside" }, " to ", mine ? called(message.to.name) : "you", " only");
    this.state.current?.log.put({ ...message, aside });
  }

  name({ id, name, was, room: place }) {
    const room = this.state.rooms.get(place);
    const mine = id === this.state.me.id;
    if (mine && name !== this.state.me.name) {
      this.language.be({ id, name });
      // Nobody chooses a number: a name was taken away, which is news.
      if (isNumber(name) && !isNumber(was)) room?.log.note(`${oneLine(was)} is somebody else: you are ${name} now.`);
    }
    if (!room) return;
    if (room.members.has(id)) room.members.set(id, name);
    if (!mine) room.log.note(`${oneLine(was)} is called ${oneLine(name)} now.`);
    this.state.tell("members", room);
  }

  who({ room: name, count, members }) {
    const room = this.state.rooms.get(name);
    if (!room || !Array.isArray(members)) return;
    room.members = new Map(members.map((member) => [member.id, member.name]));
    room.count = count;
    this.state.tell("members", room);
  }

  history({ room: name, messages, more }) {
    const room = this.state.rooms.get(name);
    if (!room || !Array.isArray(messages)) return;
    const { oldest, newest } = room.log;
    const first = messages[0]?.id;
    // Older ones exist before the oldest that is shown, not before what was missed in between.
    if (oldest === null || (first !== undefined && first < oldest)) room.older = more === true;
    room.log.putAll(messages, { missed: oldest !== null && !room.asked });
    room.log.showOlder(room.older);
    // More was missed than fits into one answer: the rest lies between what was known and the first of these.
    if (newest !== null && first > newest && more === true) this.language.fill(room, newest, first);
  }

  gap({ room, after }) {
    this.state.rooms.get(room)?.log.gap(after);
  }

  typing({ room: name, from }) {
    const room = this.state.rooms.get(name);
    if (!room || from.id === this.state.me.id) return;
    room.typing.set(from.id, { name: from.name, until: Date.now() + TYPING });
    this.state.tell("typing", room);
    setTimeout(() => this.state.tell("typing", room), TYPING + 50);
  }

  delete({ room, id }) {
    this.state.rooms.get(room)?.log.erase(id);
  }

  notice(message) {
    const words = notice(message);
    if (message.code === "apart") return this.hooks.banner(words);
    if (message.code === "together") this.hooks.banner("");
    const room = this.state.place(message.room);
    if (room === null) return;
    room.log.note(words);
    if (message.code === "slow") {
      room.slow = message.seconds ?? room.slow;
      this.hooks.paced(room);
    }
    this.state.tell("room", room);
  }

  /** An error that answers no question of this page's. */
  error(message) {
    const room = this.state.rooms.get(message.room);
    if (room?.condition === "joining") return this.language.notIn(room, message);
    this.state.place(message.room)?.log.note(`The server refused something: ${refused(message)}.`);
  }
}
