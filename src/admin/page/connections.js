// All open WebSockets: which are meant, in which order, a page at a time. What is meant stands in the address, so that
// it can be gone back to; the gateway does the choosing and the sorting.

import { $, make, mark, write } from "./?asset=make.js";
import { askAll, label, opener, show } from "./?asset=connection.js";
import { bytes, count, several, span } from "./?asset=figures.js";
import { Table, badges, kept, named } from "./?asset=table.js";

const WHICH = ["route", "address", "backend", "older_than", "younger_than", "min_bytes"];
const LIMIT = 50;

const state = ({ ending, held }) => (ending ? ["busy", "closing"] : held ? ["busy", "held"] : ["good", "open"]);

const fields = () => [...$("filter").querySelectorAll("[data-key]")];

export class Connections {
  #wrong = null; // why the door does not take what was asked, until something else is

  /** `go(words)` changes the address; `again()` asks anew; `say(words)` tells what was done. */
  constructor(desk, { go, again, say }) {
    Object.assign(this, { desk, go, again, say });
    const done = (words) => {
      say(words);
      again();
    };
    this.table = new Table({
      caption: "Open WebSockets",
      empty: "There is none of that kind.",
      key: ({ id }) => id,
      sorted: (name) => this.#sort(name),
      columns: [
        { title: "Id", sort: "id", number: true, fill: kept(() => opener((id) => show(desk, id, done)), label) },
        { title: "Address", sort: "address", kind: "wide", fill: named(({ address }) => address ?? "unix socket") },
        { title: "Route", sort: "route", kind: "wide", fill: named(({ route }) => route) },
        { title: "Backend", sort: "backend", kind: "wide", fill: named(({ backend }) => backend ?? "–") },
        { title: "Open for", sort: "age_seconds", number: true, text: ({ age_seconds: age }) => span(age) },
        { title: "Idle", sort: "idle_seconds", number: true, text: ({ idle_seconds: idle }) => span(idle) },
        { title: "Msgs in", sort: "frames_in", number: true, text: ({ frames_in: frames }) => count(frames) },
        { title: "Msgs out", sort: "frames_out", number: true, text: ({ frames_out: frames }) => count(frames) },
        { title: "Bytes in", sort: "bytes_in", number: true, text: ({ bytes_in: size }) => bytes(size) },
        { title: "Bytes out", sort: "bytes_out", number: true, text: ({ bytes_out: size }) => bytes(size) },
        { title: "Queued", sort: "queued_bytes", number: true, text: ({ queued_bytes: size }) => bytes(size) },
        { title: "State", fill: badges((row) => [state(row)]) },
      ],
    });
    $("list").append(this.table.element);
    this.#listen(done);
  }

  #listen(done) {
    $("filter").addEventListener("submit", (event) => {
      event.preventDefault();
      const given = fields().map((field) => [field.dataset.key, field.value.trim()]).filter(([, value]) => value !== "");
      this.go(new URLSearchParams(given));
    });
    const orders = this.table.columns.filter(({ sort }) => sort).flatMap(({ sort, title }) => (
      [[sort === "id" ? "" : sort, `${title} ↑`], [`-${sort}`, `${title} ↓`]]));
    $("f-sort").append(...orders.map(([value, title]) => make("option", { value }, title)));
    ["f-limit", "f-sort"].forEach((id) => $(id).addEventListener("change", () => $("filter").requestSubmit()));
    $("f-clear").addEventListener("click", () => this.go(new URLSearchParams(this.sort ? { sort: this.sort } : {})));
    $("earlier").addEventListener("click", () => this.#turn(Math.max(0, this.offset - this.limit)));
    $("later").addEventListener("click", () => this.#turn(this.offset + this.limit));
    $("close-all").addEventListener("click", () => askAll(this.desk, { query: this.which(), total: this.total, done }));
  }

  /** Takes up what the address says. */
  read(words) {
    this.words = words;
    this.#wrong = null;
    fields().forEach((field) => { field.value = words.get(field.dataset.key) ?? ""; });
    this.sort = words.get("sort") ?? "";
    this.limit = Number(words.get("limit") ?? LIMIT);
    this.offset = Number(words.get("offset") ?? 0);
    this.table.order(this.sort || "id");
    $("close-all").hidden = Object.keys(this.which()).length === 0;
  }

  which() {
    return Object.fromEntries(WHICH.map((key) => [key, this.words.get(key)]).filter(([, value]) => value));
  }

  /** Figures are wanted from the largest first, names from the beginning; a second wish turns it around. */
  #sort(name) {
    const first = /^(id|route|address|backend)$/.test(name) ? name : `-${name}`;
    const other = first === name ? `-${name}` : name;
    const words = new URLSearchParams(this.words);
    words.set("sort", (this.sort || "id") === first ? other : first);
    words.delete("offset");
    this.go(words);
  }

  #turn(offset) {
    const words = new URLSearchParams(this.words);
    if (offset > 0) words.set("offset", offset);
    else words.delete("offset");
    this.go(words);
  }

  /** Asks and shows. What the door does not take is told, and not asked again. */
  async look() {
    const { words } = this;
    if (this.#wrong === words) return;
    const query = { ...this.which(), sort: this.sort, limit: this.limit, offset: this.offset };
    try {
      const told = await this.desk.get("/connections", query);
      if (words === this.words) this.#show(told);
    } catch (error) {
      if (![400, 422].includes(error.status)) throw error;
      this.#wrong = words;
      write($("found"), `The gateway does not take that: ${error.message}.`);
      this.table.show([]);
    }
  }

  #show({ count: total, missing, connections }) {
    this.total = total;
    this.table.show(connections);
    const last = this.offset + connections.length;
    const part = connections.length < total ? `, ${this.offset + 1} to ${last} shown` : "";
    const lost = missing > 0 ? `; ${several(missing, "session")} did not answer in time` : "";
    write($("found"), `${several(total, "connection")}${connections.length > 0 ? part : ""}${lost}`);
    $("earlier").disabled = this.offset === 0;
    $("later").disabled = last >= total;
    mark($("close-all"), "disabled", total === 0 ? "" : null);
  }

  /** Proposes what is known from the metrics. */
  propose(metrics) {
    const names = (list, name, key) => {
      const known = [...metrics.by(name, (labels) => labels[key]).keys()].sort().slice(0, 500);
      const [options, had] = [$(list), [...$(list).children].map(({ value }) => value)];
      if (had.join("\n") !== known.join("\n")) options.replaceChildren(...known.map((value) => make("option", { value })));
    };
    names("routes", "wsgate_websockets_open", "route");
    names("addresses", "wsgate_backend_usable", "backend");
  }
}
