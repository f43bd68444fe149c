// The messages of one room, in the order of their ids, with the reader's place kept whatever arrives above or below.

import { button, called, make, withLinks } from "./?asset=make.js";
import { moment, oneLine } from "./?asset=words.js";

const MOST = 1000; // messages kept in the page, so that a busy room cannot fill the memory
const NEAR = 5 * 60 * 1000; // one person speaking on: the name is not drawn again within so many milliseconds
const HUES = 6;
const QUIET = 1000; // how long history that was put in stays unannounced, in milliseconds

/** One of a few colours for each person, the same wherever they speak. */
const hue = (id) => String([...id].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 9973, 7) % HUES);

/**
 * What a message is known by here. One to a single member has an id from another clock than the room's: it is told apart,
 * has its place among the others by its time, and is no place in the room that could be asked about.
 */
const keyOf = ({ id, aside }) => (aside ? `${id} aside` : id);
const isOfRoom = (key) => !key.endsWith("aside");

/** What stands in the circle beside a message: a letter, or the number of somebody without a name. */
export function face(name) {
  const [, number] = /^User #(\d+)$/.exec(name) ?? [];
  return number ? number.slice(-3) : [...oneLine(name)][0]?.toUpperCase() ?? "?";
}

export class Log {
  #keys = []; // of the messages shown, in order
  #items = new Map(); // key → element
  #follow = true; // the reader is at the bottom: keep it in view
  #queued = false; // a scroll to the bottom is about to be made
  #top = 0; // where the reader was when the room went out of view
  #mark = null; // the line above what is unread
  #gap = null; // behind which message the last gap is
  #loud;

  /** `hooks`: `mine(id)`, `changed(room)`, `older(room)`, and `actions(message)`, which gives a listener or null. */
  constructor(room, hooks) {
    this.room = room;
    this.hooks = hooks;
    const label = oneLine(room.name);
    this.earlier = button("Earlier messages", () => hooks.older(room), { class: "earlier", hidden: "" });
    this.list = make("ol", { role: "log", "aria-live": "polite", "aria-label": `Messages in ${label}` });
    this.unsent = make("ol", { class: "unsent", "aria-label": "Not yet delivered" });
    const attributes = { class: "scroller", tabindex: "0", role: "region", "aria-label": `Room ${label}`, hidden: "" };
    this.scroller = make("div", attributes, this.earlier, this.list, this.unsent);
    this.scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    // In a very busy room a scroll is always queued: turning the wheel up must still get away.
    this.scroller.addEventListener("wheel", ({ deltaY }) => {
      this.#follow &&= deltaY >= 0 || this.scroller.scrollTop === 0;
    }, { passive: true });
    // A phone's keyboard shrinks the list without scrolling it.
    new ResizeObserver(() => this.#queueScroll()).observe(this.scroller);
    new IntersectionObserver((seen) => seen.at(-1).isIntersecting && hooks.older(room), { root: this.scroller })
      .observe(this.earlier);
  }

  /** The ids of the room's newest and oldest message that are shown. */
  get newest() { return this.#keys.findLast(isOfRoom) ?? null; }
  get oldest() { return this.#keys.find(isOfRoom) ?? null; }

  get empty() { return this.list.childElementCount + this.unsent.childElementCount === 0; }
  get atEnd() { return this.#follow; }

  /** Whether the way to older messages is in view, as it is when few are shown. */
  get wantsOlder() {
    return !this.earlier.hidden && this.earlier.getBoundingClientRect().bottom > this.scroller.getBoundingClientRect().top;
  }

  remove() { this.scroller.remove(); }

  enterView() {
    this.scroller.hidden = false;
    if (this.#follow) this.toEnd();
    else this.scroller.scrollTop = this.#top;
    this.look();
  }

  leaveView() {
    this.#top = this.scroller.scrollTop;
    this.scroller.hidden = true;
  }

  focus() { this.scroller.focus({ preventScroll: true }); }

  /** One message as it is said. */
  put(message) {
    if (this.#insert(message) && !this.hooks.mine(message.from.id)) this.#count([message]);
    this.#settle();
  }

  /** Messages of history, oldest first; those that were missed count as unread. They are not read aloud. */
  putAll(messages, { missed }) {
    this.list.setAttribute("aria-live", "off");
    clearTimeout(this.#loud);
    this.#loud = setTimeout(() => this.list.setAttribute("aria-live", "polite"), QUIET);
    const { scroller } = this;
    const [height, top] = [scroller.scrollHeight, scroller.scrollTop];
    const above = messages.length > 0 && this.oldest !== null && messages[0].id < this.oldest;
    const added = messages.filter((message) => this.#insert(message));
    // What came in above pushes the rest down: the reader stays with what is being read.
    if (above && !this.#follow) scroller.scrollTop = top + scroller.scrollHeight - height;
    if (missed) this.#count(added.filter(({ from }) => !this.hooks.mine(from.id)));
    this.#settle();
    return added.length;
  }

  /** Takes a message away for good. */
  erase(id) {
    const item = this.#items.get(id);
    if (!item) return;
    const next = item.nextElementSibling;
    item.remove();
    this.#items.delete(id);
    this.#keys.splice(this.#keys.indexOf(id), 1);
    if (next) this.#group(next);
    this.#settle();
  }

  /** A line that nobody said. */
  note(words) { this.#line(words, "note"); }

  /** A line across the list: something begins here. */
  divide(words) { this.#line(words, "divider"); }

  /** Messages behind this one are gone, which each answer about them tells again. */
  gap(after) {
    if (this.#gap === after) return;
    this.#gap = after;
    this.#line("Some messages are missing here", "divider", this.#items.get(this.#keys.find((key) => isOfRoom(key) && key > after)));
  }

  /** Keeps the end in view again: whoever speaks wants to see the answer. */
  toEnd() {
    this.#follow = true;
    this.#queueScroll();
    this.look();
  }

  /** The reader looks: what is in view is read. */
  look() {
    if (this.scroller.hidden || document.hidden || !this.#follow || this.room.unread === 0) return;
    this.room.unread = 0;
    this.hooks.changed(this.room);
  }

  showOlder(there) { this.earlier.hidden = !there; }

  #line(words, className, next = null) {
    const item = make("li", { class: className, role: "none" }, make("span", { class: "words" }, words));
    this.list.insertBefore(item, next);
    if (next) this.#group(next);
    this.#settle();
  }

  #insert(message) {
    const key = keyOf(message);
    if (this.#items.has(key)) return false;
    const item = this.#item(message);
    let at = this.#keys.length;
    while (at > 0 && this.#keys[at - 1] > key) at -= 1;
    const next = this.#items.get(this.#keys[at]);
    this.#keys.splice(at, 0, key);
    this.#items.set(key, item);
    this.list.insertBefore(item, next ?? null);
    this.#group(item);
    if (next) this.#group(next);
    return true;
  }

  #item(message) {
    const { id, from, text, time, aside } = message;
    const { short, long, machine } = time === null ? moment(NaN) : moment(time);
    const head = make("span", { class: "head" },
      called(from.name, { class: "who" }),
      short && make("time", { datetime: machine, title: long }, short),
      aside ?? "", make("span", { class: "colon" }, ": "));
    const act = this.hooks.actions(message);
    const name = oneLine(from.name);
    const item = make("li", {
      class: "message", role: "none", "data-id": id, "data-who": from.id || name, "data-hue": hue(from.id || name),
      "data-face": face(from.name), "data-time": time ?? 0, "data-aside": aside ? "" : null,
    }, head, make("span", { class: "said", dir: "auto" }, ...withLinks(text)));
    if (act) item.append(button("⋯", act, { class: "more bare", "aria-label": `Message by ${name}: what to do` }));
    return item;
  }

  #group(item) {
    const [mine, above] = [item.dataset, item.previousElementSibling?.dataset];
    const again = above?.who !== undefined && above.who === mine.who && above.aside === mine.aside
      && Math.abs(mine.time - above.time) < NEAR;
    item.classList.toggle("again", again);
  }

  /** Counts what nobody has looked at yet, and draws a line above the first of it. */
  #count(messages) {
    const { room } = this;
    if (messages.length === 0 || (!this.scroller.hidden && !document.hidden && this.#follow)) return;
    if (room.unread === 0) {
      this.#mark?.remove();
      this.#mark = make("li", { class: "divider unread", role: "none" }, make("span", { class: "words" }, "New"));
      const first = this.#items.get(keyOf(messages[0]));
      first.before(this.#mark);
      this.#group(first);
    }
    room.unread += messages.length;
  }

  #settle() {
    if (this.#follow) {
      while (this.#keys.length > MOST) {
        const key = this.#keys.shift();
        this.#items.get(key).remove();
        this.#items.delete(key);
        this.room.older = true;
      }
      // Notes that have lost their messages go with them.
      while (this.list.childElementCount > 2 * MOST) this.list.firstChild.remove();
    }
    this.#queueScroll();
    this.look();
    this.hooks.changed(this.room);
  }

  #scrolled() {
    // While a scroll is queued the distance only tells of text not yet brought into view.
    if (this.#queued || this.scroller.hidden) return;
    const { scrollHeight, clientHeight, scrollTop } = this.scroller;
    const follow = scrollHeight - clientHeight - scrollTop < 40;
    if (follow === this.#follow) return;
    this.#follow = follow;
    this.look();
    this.hooks.changed(this.room);
  }

  /** Scrolls once per frame at most: measuring for every message would stall a busy room. */
  #queueScroll() {
    if (!this.#follow || this.#queued || this.scroller.hidden) return;
    this.#queued = true;
    requestAnimationFrame(() => {
      this.#queued = false;
      if (this.#follow) this.scroller.scrollTop = this.scroller.scrollHeight;
    });
  }
}
