// A small plot of the last five minutes: lines, or areas one on the other. All of it is drawn by the page itself.

import { draw, make, mark, write } from "./?asset=make.js";

export const SPAN = 300_000; // ms that are shown
const MOST = 400; // moments that are kept, however often the door is asked
const KEYS = 40; // series of one moment
const SHOWN = 4; // series that have a colour of their own
const [WIDE, HIGH] = [300, 100]; // the drawing's own units; it is stretched to its place
const OTHERS = "others";

/** The least of 1, 2, 5, 10, … (of bytes: of powers of two) that is no less. */
function ceiling(most, isBinary) {
  if (!(most > 0)) return 1;
  if (isBinary) return 2 ** Math.ceil(Math.log2(most));
  const size = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].find((step) => step * size >= most * 0.9999) * size;
}

const place = (value) => value.toFixed(1);

export class Plot {
  #moments = []; // { at, values: Map or null }, the oldest first; null: nothing is known, and nothing is joined
  #paths = [];
  #entries = [];
  #drawn = { until: 0, names: [] };

  /**
   * `series` are the names that are always there, in their order; without them the largest ones show. `stacked`: areas.
   * `text(value)` is how a value is told, `floor` the least that the top of the scale stands for.
   */
  constructor({ title, series = null, stacked = false, text, floor = 0, binary = false, none = "none" }) {
    Object.assign(this, { series, stacked, text, floor, binary, none });
    this.top = make("span", { class: "scale", title: "the top of the plot" });
    this.cursor = draw("line", { class: "cursor", y1: 0, y2: HIGH, hidden: "" });
    this.svg = draw("svg", {
      viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false",
    }, draw("path", { class: "grid", d: `M0 0.5H${WIDE}M0 ${HIGH / 2}H${WIDE}M0 ${HIGH - 0.5}H${WIDE}` }), this.cursor);
    this.canvas = make("div", { class: "canvas" }, this.svg);
    this.legend = make("ul", { class: "legend" });
    this.figure = make("figure", { class: "plot" }, make("figcaption", {}, make("span", {}, title), " ", this.top), this.canvas, this.legend);
  }

  /** Takes down what was at a moment: pairs of a name and a value, or null. */
  push(at, values) {
    const largest = values && [...values].sort(([, a], [, b]) => b - a).slice(0, KEYS);
    this.#moments.push({ at, values: largest && new Map(largest) });
    const old = this.#moments.findIndex((moment) => moment.at > at - SPAN);
    this.#moments.splice(0, Math.max(old - 1, this.#moments.length - MOST, 0));
  }

  /** The names that are drawn, and `others` where there are more of them. */
  #names() {
    if (this.series) return this.series;
    const sums = new Map();
    for (const { values } of this.#moments) {
      values?.forEach((value, name) => sums.set(name, (sums.get(name) ?? 0) + value));
    }
    const all = [...sums].filter(([, sum]) => sum > 0).sort(([a, one], [b, other]) => other - one || a.localeCompare(b));
    const names = all.slice(0, all.length > SHOWN + 1 ? SHOWN : SHOWN + 1).map(([name]) => name);
    return all.length > names.length ? [...names, OTHERS] : names;
  }

  /** The values of these names at a moment; undefined where nothing is known. */
  #values({ values }, names) {
    if (values === null) return names.map(() => undefined);
    const missing = this.series ? undefined : 0;
    const rest = () => [...values].reduce((sum, [name, value]) => (names.includes(name) ? sum : sum + value), 0);
    return names.map((name) => (name === OTHERS && !this.series ? rest() : values.get(name) ?? missing));
  }

  /** Draws the five minutes until `until`, and tells of the moment `looked`, or of the last one. */
  draw(until, looked) {
    const names = this.#names();
    this.#drawn = { until, names };
    const across = ({ at }) => WIDE * (1 - (until - at) / SPAN);
    const points = this.#moments.map((moment) => ({ x: across(moment), y: this.#values(moment, names) }));
    const known = ({ y }) => y.filter(Number.isFinite);
    const height = (point) => (this.stacked ? known(point).reduce((sum, value) => sum + value, 0) : Math.max(0, ...known(point)));
    const top = ceiling(Math.max(this.floor, ...points.map(height)), this.binary);
    write(this.top, this.text(top));
    const down = (value) => HIGH - 1 - ((HIGH - 2) * value) / top;
    names.forEach((_, at) => {
      this.#paths[at] ??= this.#path(at);
      mark(this.#paths[at], "d", this.stacked ? area(points, at, down) : line(points, at, down));
    });
    this.#paths.slice(names.length).forEach((path) => mark(path, "d", ""));
    this.tell(looked);
  }

  /** Says what was at the moment nearest to `looked`, or at last. */
  tell(looked = null) {
    const { until, names } = this.#drawn;
    const nearest = (best, moment) => (Math.abs(moment.at - looked) < Math.abs(best.at - looked) ? moment : best);
    const moment = looked === null ? this.#moments.at(-1) : this.#moments.reduce(nearest, this.#moments[0] ?? { at: 0 });
    const x = looked === null || !moment ? null : place(WIDE * (1 - (until - moment.at) / SPAN));
    mark(this.cursor, "hidden", x === null ? "" : null);
    if (x !== null) ["x1", "x2"].forEach((name) => mark(this.cursor, name, x));
    const values = moment?.values === undefined ? names.map(() => undefined) : this.#values(moment, names);
    names.forEach((name, at) => {
      this.#entries[at] ??= this.#entry(at);
      write(this.#entries[at].name, name);
      write(this.#entries[at].value, Number.isFinite(values[at]) ? this.text(values[at]) : "–");
    });
    this.#entries.forEach(({ item }, at) => { item.hidden = at >= names.length; });
    this.quiet ??= this.legend.appendChild(make("li", { class: "quiet-entry" }, this.none));
    this.quiet.hidden = names.length > 0;
  }

  #path(hue) {
    return this.svg.insertBefore(draw("path", { "data-hue": hue, class: this.stacked ? "area" : "line" }), this.cursor);
  }

  #entry(hue) {
    const [name, value] = [make("bdi"), make("b")];
    const item = this.legend.appendChild(make("li", { "data-hue": hue }, name, " ", value));
    return { item, name, value };
  }
}

/** Where a series is known without a break. A moment between two that are unknown is a dot. */
function line(points, at, down) {
  let [path, isOpen] = ["", false];
  points.forEach(({ x, y }, i) => {
    const known = Number.isFinite(y[at]);
    if (!known) return (isOpen = false);
    const isAlone = !isOpen && !Number.isFinite(points[i + 1]?.y[at]);
    path += `${isOpen ? "L" : "M"}${place(x)} ${place(down(y[at]))}${isAlone ? "h0.01" : ""}`;
    return (isOpen = true);
  });
  return path;
}

/** A series on top of those before it. */
function area(points, at, down) {
  const runs = [[]];
  for (const point of points) {
    if (Number.isFinite(point.y[at])) runs.at(-1).push(point);
    else if (runs.at(-1).length > 0) runs.push([]);
  }
  const below = (y, upTo) => y.slice(0, upTo).reduce((sum, value) => sum + value, 0);
  const edge = (run, upTo) => run.map(({ x, y }) => `${place(x)} ${place(down(below(y, upTo)))}`);
  return runs.filter((run) => run.length > 1)
    .map((run) => `M${edge(run, at + 1).join("L")}L${edge([...run].reverse(), at).join("L")}Z`).join("");
}
