// Pools and their backends, routes, and the gateway itself: how each stands, and how each is drained.

import { $, arrange, button, called, make, mark, write } from "./?asset=make.js";
import { count, span } from "./?asset=figures.js";
import { confirm } from "./?asset=sheet.js";
import { Table, badges, kept, named } from "./?asset=table.js";

const keyOf = ({ route, pool, backend }) => (route === undefined ? `backend ${pool} ${backend}` : `route ${route}`);

/** How far a drain is, in words. */
export function progress({ left, seconds_left: seconds, open }) {
  if (left === null) return "draining: being counted";
  const told = left > 0 ? `${count(left)} to be told within ${span(seconds)}` : "all were told";
  return open === 0 && left === 0 ? "drained: nobody is left" : `draining: ${told}, ${count(open)} still open`;
}

/** A link to the connections of something. */
const connections = (which) => kept(
  () => make("a", { class: "id" }, make("bdi")),
  (link, row) => {
    const [[key, name]] = Object.entries(which(row));
    mark(link, "href", `#connections?${new URLSearchParams({ [key]: name })}`);
    write(link.firstChild, name);
  },
);

function health({ usable, drained, ejected_seconds: ejected, checks }, drain) {
  const all = [];
  if (drain) all.push(["busy", progress(drain)]);
  else if (drained) all.push(["busy", "drained"]);
  if (ejected !== null) all.push(["grave", `left alone for ${span(ejected)}`]);
  if (checks && !checks.passing) all.push(["grave", "fails its checks"]);
  if (all.length === 0) all.push(usable ? ["good", "usable"] : ["grave", "not usable"]);
  return all;
}

function lastCheck({ checks }) {
  if (checks === null) return "none";
  return checks.last_seconds_ago === null ? "not yet" : `${span(checks.last_seconds_ago)} ago`;
}

export class Backends {
  #pools = new Map(); // name → { element, note, table }
  #drains = new Map(); // key → what the door says of it

  /** `again()` asks anew; `say(words)` tells what was done. */
  constructor(desk, { again, say }) {
    Object.assign(this, { desk, again, say });
    this.routes = new Table({
      caption: "Routes",
      empty: "No WebSocket has come yet: routes are listed from their first one on.",
      key: ({ route }) => route,
      columns: [
        { title: "Route", kind: "wide", fill: connections(({ route }) => ({ route })) },
        { title: "Open", number: true, text: ({ open }) => count(open) },
        { title: "State", fill: badges((row) => [this.#routeState(this.#drains.get(keyOf(row)))]) },
        { title: "Drain", kind: "action", fill: this.#switch(({ route }) => ({ route })) },
      ],
    });
    $("route-list").append(this.routes.element);
    $("drain-route").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ask({ route: $("route-name").value.trim() });
    });
    $("drain-gateway").addEventListener("click", () => this.#askGateway());
  }

  #routeState(drain) { return drain ? ["busy", progress(drain)] : ["good", "open"]; }

  async look(metrics) {
    const [{ pools }, told] = await Promise.all([this.desk.get("/backends"), this.desk.get("/drain")]);
    this.#drains = new Map(told.drains.map((drain) => [keyOf(drain), drain]));
    const seen = metrics.by("wsgate_websockets_open", ({ route }) => route);
    told.drains.forEach(({ route }) => route !== undefined && !seen.has(route) && seen.set(route, 0));
    this.routes.show([...seen].sort(([a], [b]) => a.localeCompare(b)).map(([route, open]) => ({ route, open })));
    const names = pools.map(({ pool }) => pool);
    for (const name of this.#pools.keys()) if (!names.includes(name)) this.#pools.delete(name);
    arrange($("pools"), pools.length > 0 ? pools.map((pool) => this.#pool(pool)) : [this.#none()]);
    this.#gateway(told.gateway);
  }

  #gateway(gateway) {
    const words = gateway === null ? "It takes connections."
      : `It is draining, and ends: ${count(gateway.left)} to be told within ${span(gateway.seconds_left)}.`;
    write($("gateway-state"), words);
    $("drain-gateway").disabled = gateway !== null;
  }

  #none() {
    this.none ??= make("p", { class: "empty" }, "No route leads to a backend.");
    return this.none;
  }

  #pool(state) {
    const { pool, backends, waiting, queue, retries } = state;
    let known = this.#pools.get(pool);
    if (known === undefined) {
      const note = make("p", { class: "note" });
      const table = this.#table(pool);
      const title = make("h2", {}, "Pool ", called(pool));
      const element = make("div", { class: "pool" }, make("div", { class: "bar" }, title, note), table.element);
      known = { note, table, element };
      this.#pools.set(pool, known);
    }
    const queued = waiting > 0 || queue > 0 ? `${count(waiting)} of ${count(queue)} waiting · ` : "";
    const again = `tried elsewhere: ${count(retries)}, not allowed: ${count(state.retries_refused)}`;
    write(known.note, `${queued}refused: ${count(state.refused)} · ${again}`);
    known.table.show(backends.map((backend) => ({ pool, ...backend })));
    return known.element;
  }

  #table(pool) {
    return new Table({
      caption: `Backends of ${pool}`,
      empty: "There is none.",
      key: ({ backend }) => backend,
      columns: [
        { title: "Backend", kind: "wide", fill: connections(({ backend }) => ({ backend })) },
        { title: "State", kind: "wide", fill: badges((row) => health(row, this.#drains.get(keyOf(row)))) },
        { title: "Open", number: true, text: ({ open, max }) => count(open) + (max === null ? "" : ` of ${count(max)}`) },
        { title: "Handshakes", number: true, text: ({ handshakes }) => count(handshakes) },
        { title: "Failures in a row", number: true, text: ({ failures }) => count(failures) },
        { title: "Left alone", number: true, text: ({ ejections }) => `${count(ejections)} ×` },
        { title: "Checked", number: true, text: lastCheck },
        { title: "Weight", number: true, text: ({ weight, backup }) => (backup ? `${weight}, backup` : String(weight)) },
        { title: "Drain", kind: "action", fill: this.#switch(({ pool, backend }) => ({ pool, backend })) },
      ],
    });
  }

  /** A button that drains what a row is about, or ends that. */
  #switch(what) {
    const create = (cell) => button("", () => {
      const { meant, isDrained } = cell.of;
      if (isDrained) this.#end(meant);
      else this.#ask(meant);
    });
    return kept(create, (element, row) => {
      const meant = what(row);
      const isDrained = row.drained === true || this.#drains.has(keyOf(meant));
      element.parentNode.of = { meant, isDrained };
      write(element, isDrained ? "Undrain" : "Drain…");
      mark(element, "aria-label", `${isDrained ? "Undrain" : "Drain"} ${meant.route ?? meant.backend}`);
    });
  }

  #ask(meant) {
    const isRoute = meant.route !== undefined;
    confirm({
      title: ["Drain ", called(isRoute ? meant.route : meant.backend)],
      text: [
        isRoute
          ? ["New WebSockets on this route are refused with 503."]
          : ["It gets no new sessions, however few other backends of pool ", called(meant.pool), " are left."],
        ["Open ones are sent home with 1012 “service restart”, spread over a while. It lasts until it is undrained; who was"
          + " told to go goes nevertheless."],
      ],
      verb: "Drain",
      action: async () => {
        await this.desk.ask("POST", "/drain", { body: meant });
        $("route-name").value = "";
        this.say(`${meant.route ?? meant.backend} is being drained.`);
        this.again();
      },
    });
  }

  async #end(meant) {
    try {
      await this.desk.ask("DELETE", "/drain", { query: meant });
      this.say(`${meant.route ?? meant.backend} gets sessions again.`);
    } catch (error) {
      this.say(`That did not work: ${error.message}.`);
    }
    this.again();
  }

  #askGateway() {
    confirm({
      title: ["Drain the gateway"],
      text: [
        ["No connection is taken any more, each WebSocket gets 1001, and then the process ends, as after SIGTERM."
          + " Nothing takes that back."],
        ["Whether it is started again is up to whatever has started it."],
      ],
      verb: "Drain it, and let it end",
      word: "drain",
      action: async () => {
        await this.desk.ask("POST", "/drain", { body: { gateway: true } });
        this.say("The gateway is draining.");
        this.again();
      },
    });
  }
}
