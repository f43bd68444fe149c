// A table whose rows stay where they are while their figures change: focus, selection and place survive each look.

import { arrange, button, make, mark, write } from "./?asset=make.js";

export class Table {
  #rows = new Map(); // key → { line, cells }

  /**
   * A column has a `title`, and `text(row)` or `fill(cell, row)`; `number` for figures, `sort` for a name to be sorted
   * by, `kind` for its class. `sorted(name)` hears of a wish for another order.
   */
  constructor({ caption, columns, key, sorted = null, empty }) {
    Object.assign(this, { columns, key, sorted });
    this.heads = columns.map((column) => this.#head(column));
    this.body = make("tbody");
    this.empty = make("p", { class: "empty", hidden: "" }, empty);
    const head = make("thead", {}, make("tr", {}, ...this.heads));
    const table = make("table", {}, make("caption", { class: "quiet" }, caption), head, this.body);
    this.element = make("div", { class: "table" }, table, this.empty);
  }

  #head({ title, sort, number, kind }) {
    const content = sort && this.sorted ? button(title, () => this.sorted(sort)) : title;
    return make("th", { scope: "col", class: number ? "number" : kind }, content);
  }

  /** Says by what it is sorted: a name, with `-` from the largest. */
  order(name) {
    this.columns.forEach(({ sort }, at) => {
      const isMeant = sort && name.replace("-", "") === sort;
      mark(this.heads[at], "aria-sort", isMeant ? (name.startsWith("-") ? "descending" : "ascending") : null);
    });
  }

  show(rows) {
    const keys = rows.map(this.key);
    const wanted = new Set(keys);
    for (const known of this.#rows.keys()) if (!wanted.has(known)) this.#rows.delete(known);
    arrange(this.body, rows.map((row, at) => this.#line(keys[at], row)));
    this.empty.hidden = rows.length > 0;
  }

  #line(key, row) {
    let known = this.#rows.get(key);
    if (known === undefined) {
      const cells = this.columns.map(({ title, number, kind }) => (
        make("td", { "data-title": title, class: [number && "number", kind].filter(Boolean).join(" ") || null })));
      known = { line: make("tr", {}, ...cells), cells };
      this.#rows.set(key, known);
    }
    this.columns.forEach(({ text, fill }, at) => (fill ? fill(known.cells[at], row) : write(known.cells[at], text(row))));
    return known.line;
  }
}

/** Fills a cell with one element that is made once and told of each row: for buttons, which must stay the same ones. */
export const kept = (create, tell) => (cell, row) => {
  if (cell.firstChild === null) cell.append(create(cell));
  tell(cell.firstChild, row);
};

/** Fills a cell with a name that somebody else has given. */
export const named = (text) => kept(() => make("bdi"), (element, row) => write(element, text(row)));

/** Fills a cell with words about a state, each with its kind: good, busy, grave or plain. */
export const badges = (states) => (cell, row) => {
  const wanted = states(row);
  arrange(cell, wanted.map(([, text], at) => cell.children[at] ?? make("span", { class: "badge" }, text)));
  wanted.forEach(([kind, text], at) => {
    mark(cell.children[at], "data-kind", kind);
    write(cell.children[at], text);
  });
};
