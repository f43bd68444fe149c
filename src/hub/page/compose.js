// Where one writes: the box that grows, drafts of each room, the length, and who it goes to.

import { $ } from "./?asset=make.js";
import { counted, oneLine, span } from "./?asset=words.js";

const TYPING_EVERY = 3000; // milliseconds between two signs that one is typing
const NEAR_LIMIT = 200; // bytes left from which on they are told

export const hint = (words) => void ($("hint").textContent = words);

export class Compose {
  #to = null; // the only member who gets the next message, else null
  #typedAt = 0;
  #anywhere = true; // no room is in view yet

  /** `hooks`: `say(text, to)` tells whether the text was taken, `typing()`, and `again(room)` tries to enter. */
  constructor(state, store, hooks) {
    Object.assign(this, { state, store, hooks });
    this.box = $("text");
    $("compose").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.box.addEventListener("keydown", (event) => {
      // Enter within an input method chooses a word; with Shift it begins a line.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#send();
    });
    this.box.addEventListener("input", () => this.#typed());
    $("not-privately").addEventListener("click", () => this.privately(null));
    $("rejoin").addEventListener("click", () => hooks.again(state.current));
    state.on("turn", (room) => this.#turned(room));
    state.on("room", (room) => room === state.current && this.#bar(room));
    state.on("typing", (room) => room === state.current && this.#showTyping(room));
  }

  /** The next message goes to this member only; null: to everyone. */
  privately(member) {
    this.#to = member;
    $("privately").hidden = member === null;
    $("privately-to").textContent = member?.name ?? "";
    this.box.focus();
  }

  #send() {
    const words = this.box.value;
    const over = this.#over(words);
    if (words.trim() === "" || over > 0) return;
    if (!this.hooks.say(words, this.#to)) return;
    this.box.value = "";
    this.store.draft(this.state.current.name, "");
    hint("");
    if (this.#to) this.privately(null);
  }

  /** Bytes beyond what one message may have; negative when there is room. */
  #over(words) {
    return new TextEncoder().encode(words).length - this.state.limits.text;
  }

  #typed() {
    const words = this.box.value;
    const over = this.#over(words);
    if (over > 0) hint(`This is too long by ${counted(over, "byte")}.`);
    else hint(over >= -NEAR_LIMIT ? `${counted(-over, "byte")} left.` : "");
    if (this.state.current === null) return; // the first greeting is still to come
    this.store.draft(this.state.current.name, words);
    if (words === "" || this.#to || Date.now() - this.#typedAt < TYPING_EVERY) return;
    this.#typedAt = Date.now();
    this.hooks.typing(this.state.current);
  }

  #turned(room) {
    // What was written before any room was known belongs to the first.
    const early = this.#anywhere ? this.box.value : "";
    this.#anywhere = false;
    this.box.value = early || (this.store.drafts.get(room.name) ?? "");
    this.#to = null;
    $("privately").hidden = true;
    hint("");
    this.#bar(room);
    this.#showTyping(room);
  }

  /** Where one may not write there is no box, but the reason. */
  #bar(room) {
    const shut = room.condition === "refused" || room.condition === "out";
    const reading = room.readOnly && !this.state.moderator;
    const had = document.activeElement;
    $("compose").hidden = shut || reading;
    $("barred").hidden = !shut && !reading;
    $("rejoin").hidden = !shut;
    $("barred-why").textContent = shut ? room.why : "This room is for reading only.";
    if (shut && $("compose").contains(had)) $("rejoin").focus();
    const slow = room.slow > 0 ? ` (once in ${span(room.slow)})` : "";
    this.box.placeholder = `Write a message${slow}`;
  }

  #showTyping(room) {
    const now = Date.now();
    const names = [...room.typing.values()].filter(({ until }) => until > now).map(({ name }) => oneLine(name));
    const [one, other] = names;
    $("typing").textContent = { 0: "", 1: `${one} is typing…`, 2: `${one} and ${other} are typing…` }[names.length]
      ?? "Several people are typing…";
  }
}
