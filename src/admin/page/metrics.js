// What `/metrics` says, read from its text: Prometheus' format 0.0.4, one line a value.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const ESCAPED = { "\\n": "\n", '\\"': '"', "\\\\": "\\" };

const plain = (text) => text.replace(/\\[n"\\]/g, (found) => ESCAPED[found]);
const number = (text) => (text === "+Inf" ? Infinity : Number(text));

export class Metrics {
  #lines = new Map(); // name → [{ labels, value }]

  constructor(text) {
    for (const line of text.split("\n")) {
      const found = LINE.exec(line);
      if (found === null) continue; // a comment, or nothing
      const [, name, inside, value] = found;
      const labels = {};
      for (const [, key, quoted] of (inside ?? "").matchAll(LABEL)) labels[key] = plain(quoted);
      const lines = this.#lines.get(name);
      if (lines) lines.push({ labels, value: number(value) });
      else this.#lines.set(name, [{ labels, value: number(value) }]);
    }
  }

  has(name) { return this.#lines.has(name); }

  /** All lines of this name, each with its labels. */
  lines(name) { return this.#lines.get(name) ?? []; }

  /** The sum of all lines of this name that have these labels; 0 where there is none. */
  sum(name, labels = {}) {
    const wanted = Object.entries(labels);
    const meant = this.lines(name).filter((line) => wanted.every(([key, value]) => line.labels[key] === value));
    return meant.reduce((sum, { value }) => sum + value, 0);
  }

  /** The sums of a name's lines by what `key(labels)` says of each. */
  by(name, key) {
    const sums = new Map();
    for (const { labels, value } of this.lines(name)) {
      const at = key(labels);
      sums.set(at, (sums.get(at) ?? 0) + value);
    }
    return sums;
  }

  /** A histogram, all its labels together: pairs of a bound and how many were at most that, in order. */
  buckets(name) {
    const sums = this.by(`${name}_bucket`, ({ le }) => number(le));
    return [...sums].sort(([one], [other]) => one - other);
  }
}

/**
 * What a share `q` of those that fell into a histogram between two looks at it was at most; NaN where there were none.
 * Within a bucket they are taken to lie evenly.
 */
export function quantile(before, after, q) {
  const then = new Map(before);
  const grown = after.map(([bound, count]) => [bound, count - (then.get(bound) ?? 0)]);
  const all = grown.at(-1)?.[1] ?? 0;
  if (!(all > 0)) return NaN;
  const wanted = q * all;
  let [low, below] = [0, 0];
  for (const [bound, upTo] of grown) {
    if (upTo >= wanted && upTo > below) {
      // The last bucket has no end: nothing is known but that it was more than this.
      return bound === Infinity ? low : low + ((bound - low) * (wanted - below)) / (upTo - below);
    }
    [low, below] = [bound, upTo];
  }
  return low;
}
