// What has changed between two looks at the metrics. Only the last few are kept: what is drawn is kept by the plots.

import { quantile } from "./?asset=metrics.js";

const WINDOW = 10_000; // ms over which quantiles are taken: of single answers there are none
const GAP = 45_000; // ms between two looks after which nothing is said of the time between: longer than any back-off

/** The time between two looks: how much a second. */
class Step {
  constructor(before, after, first) {
    Object.assign(this, { before: before.metrics, after: after.metrics, first: first.metrics });
    this.seconds = (after.at - before.at) / 1000;
  }

  /** How much a counter has grown a second. */
  rate(name, labels) {
    return Math.max(0, this.after.sum(name, labels) - this.before.sum(name, labels)) / this.seconds;
  }

  /** The same by what `key(labels)` says; those that stood still are left out. */
  rates(name, key) {
    const before = this.before.by(name, key);
    const grown = [...this.after.by(name, key)].map(([at, value]) => [at, (value - (before.get(at) ?? 0)) / this.seconds]);
    return new Map(grown.filter(([, value]) => value > 0));
  }

  /** A quantile of what a histogram got in the last ten seconds; NaN for none. */
  quantile(name, q) {
    return quantile(this.first.buckets(name), this.after.buckets(name), q);
  }
}

export class History {
  #looks = []; // { at, metrics }, the oldest first

  /** Takes a look down; gives the Step since the one before, or null where none can be made. */
  add(metrics, at) {
    const before = this.#looks.at(-1);
    const began = (look) => look.metrics.sum("process_start_time_seconds");
    const after = { at, metrics };
    if (!before || at <= before.at || at - before.at > GAP || began(before) !== began(after)) {
      this.#looks = [after];
      return null;
    }
    this.#looks = [...this.#looks.filter((look) => at - look.at <= WINDOW), after];
    const first = this.#looks[0] === after ? before : this.#looks[0];
    return new Step(before, after, first);
  }

  get now() { return this.#looks.at(-1)?.metrics ?? null; }
}
