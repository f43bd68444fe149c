// Hubs and their rooms, with how many are in them.

import { $, button, mark, write } from "./?asset=make.js";
import { count, several, span } from "./?asset=figures.js";
import { Table, badges, kept, named } from "./?asset=table.js";

const LIMIT = 100;

function states({ read_only: readOnly, slow, fixed }) {
  return [
    readOnly && ["plain", "read only"], slow > 0 && ["busy", `slow: ${span(slow)}`], fixed && ["plain", "fixed"],
  ].filter(Boolean);
}

export class Rooms {
  #after = ""; // the name behind which the rooms begin
  #last = "";

  constructor(desk, again) {
    Object.assign(this, { desk, again, hub: null });
    this.hubs = new Table({
      caption: "Hubs",
      empty: "No route leads to a hub.",
      key: ({ hub }) => hub,
      columns: [
        { title: "Hub", kind: "wide", fill: this.#chooser() },
        { title: "Rooms", number: true, text: ({ rooms }) => count(rooms) },
        { title: "Members", number: true, text: ({ members }) => count(members) },
      ],
    });
    this.rooms = new Table({
      caption: "Rooms",
      empty: "There is no room.",
      key: ({ room }) => room,
      columns: [
        { title: "Room", kind: "wide", fill: named(({ room }) => room) },
        { title: "Members", number: true, text: ({ members }) => count(members) },
        { title: "Messages kept", number: true, text: ({ messages }) => count(messages) },
        { title: "State", fill: badges(states) },
      ],
    });
    $("hubs").append(this.hubs.element);
    $("room-list").append(this.rooms.element);
    $("rooms-first").addEventListener("click", () => this.#turn(""));
    $("rooms-next").addEventListener("click", () => this.#turn(this.#last));
  }

  #chooser() {
    const create = () => button("", ({ currentTarget }) => {
      this.hub = currentTarget.textContent;
      this.#turn("");
    }, { class: "id" });
    return kept(create, (element, { hub }) => {
      write(element, hub);
      mark(element, "aria-pressed", hub === this.hub);
    });
  }

  #turn(after) {
    this.#after = after;
    this.again();
  }

  async look() {
    const { hubs } = await this.desk.get("/hubs");
    if (!hubs.some(({ hub }) => hub === this.hub)) [this.hub, this.#after] = [hubs[0]?.hub ?? null, ""];
    this.hubs.show(hubs);
    if (this.hub === null) return this.#show({ count: 0, rooms: [], more: false });
    const query = { hub: this.hub, limit: LIMIT, after: this.#after };
    return this.#show(await this.desk.get("/rooms", query));
  }

  #show({ count: total, rooms, more }) {
    this.#last = rooms.at(-1)?.room ?? "";
    this.rooms.show(rooms);
    const part = rooms.length < total ? `, ${rooms.length} shown` : "";
    write($("rooms-found"), this.hub === null ? "" : `${several(total, "room")} in ${this.hub}${part}`);
    $("rooms-first").disabled = this.#after === "";
    $("rooms-next").disabled = !more;
  }
}
