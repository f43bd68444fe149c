// The side of the page: the rooms one is in, and the people in the one in view.

import { $, arrange, button, called, make } from "./?asset=make.js";
import { oneLine } from "./?asset=words.js";

/** Calls `draw` once per frame at most, however often it is asked: in a busy room people come and go all the time. */
function calmly(draw) {
  let queued = false;
  return () => {
    if (queued) return;
    queued = true;
    setTimeout(() => {
      queued = false;
      draw();
    }, 16);
  };
}

export class Side {
  #rooms = new Map(); // Room → { item, link, badge, away }
  #members = new Map(); // id → { item, name }
  #narrow = matchMedia("(max-width: 47.99rem)");

  /** `hooks`: `address(name)`, `turn(room)`, `leave(room)` or null where rooms are pages, and `member(id, name)`. */
  constructor(state, hooks) {
    Object.assign(this, { state, hooks });
    const [drawRooms, drawMembers] = [calmly(() => this.#drawRooms()), calmly(() => this.#drawMembers())];
    ["rooms", "room", "messages"].forEach((kind) => state.on(kind, drawRooms));
    ["members", "me", "turn"].forEach((kind) => state.on(kind, drawMembers));
    $("open-side").addEventListener("click", () => this.open());
    $("close-side").addEventListener("click", () => this.close());
    $("side").addEventListener("keydown", ({ key }) => key === "Escape" && this.close());
    this.#narrow.addEventListener("change", () => this.close());
  }

  /** On a phone the side lies over the messages, which are out of reach until it is closed. */
  open() {
    document.body.dataset.side = "open";
    $("open-side").setAttribute("aria-expanded", "true");
    $("talk").inert = true;
    $("close-side").focus();
  }

  close() {
    if (document.body.dataset.side !== "open") return;
    delete document.body.dataset.side;
    $("open-side").setAttribute("aria-expanded", "false");
    $("talk").inert = false;
    $("open-side").focus();
  }

  #drawRooms() {
    const { rooms, current } = this.state;
    const all = [...rooms.values()].sort((a, b) => a.name.localeCompare(b.name));
    for (const room of this.#rooms.keys()) if (!all.includes(room)) this.#rooms.delete(room);
    arrange($("rooms"), all.map((room) => {
      const { item, link, badge, away } = this.#roomItem(room);
      if (room === current) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
      item.dataset.condition = room.condition;
      badge.hidden = room.unread === 0;
      badge.firstChild.textContent = room.unread > 99 ? "99+" : String(room.unread);
      if (away) away.hidden = all.length < 2;
      return item;
    }));
    const elsewhere = this.state.unread - (current?.unread ?? 0);
    $("elsewhere").hidden = elsewhere === 0;
    $("elsewhere").textContent = elsewhere > 99 ? "99+" : String(elsewhere);
    $("open-side").setAttribute("aria-label", elsewhere > 0 ? `Rooms and people, ${elsewhere} unread` : "Rooms and people");
  }

  #roomItem(room) {
    const known = this.#rooms.get(room);
    if (known) return known;
    const badge = make("span", { class: "badge", hidden: "" }, "0", make("span", { class: "quiet" }, " unread"));
    const link = make("a", { href: this.hooks.address(room.name) }, called(room.name), " ", badge);
    if (this.hooks.turn) {
      link.addEventListener("click", (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return; // another tab was asked for
        event.preventDefault();
        this.close();
        this.hooks.turn(room);
      });
    }
    const label = { class: "bare", "aria-label": `Leave ${oneLine(room.name)}` };
    const away = this.hooks.leave && button("✕", () => this.hooks.leave(room), label);
    const drawn = { link, badge, away, item: make("li", {}, link, ...(away ? [away] : [])) };
    this.#rooms.set(room, drawn);
    return drawn;
  }

  #drawMembers() {
    const { current, me } = this.state;
    if (current === null) return;
    const all = [...current.members].sort(([a, one], [b, other]) => (
      (b === me.id) - (a === me.id) || one.localeCompare(other)));
    for (const id of this.#members.keys()) if (!current.members.has(id)) this.#members.delete(id);
    arrange($("members"), all.map(([id, name]) => this.#memberItem(id, name)));
    const count = Math.max(current.count, all.length);
    $("people-count").textContent = count > 0 ? `(${count})` : "";
    const hidden = count - all.length;
    $("people-more").hidden = hidden === 0 || all.length === 0;
    $("people-more").textContent = `and ${hidden} more`;
    $("my-name").textContent = me.name;
  }

  #memberItem(id, name) {
    const mine = id === this.state.me.id;
    const known = this.#members.get(id);
    if (known?.name === name && known.mine === mine) return known.item;
    const item = mine
      ? make("li", { class: "me" }, called(name), " (you)")
      : make("li", {}, button(called(name), () => this.hooks.member(id, name), { class: "bare" }));
    this.#members.set(id, { item, name, mine });
    return item;
  }
}
