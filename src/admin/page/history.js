// What has changed between two looks at the metrics. Only the last few are kept: what is drawn is kept by the plots.

import { quantile } from "./?asset=metrics.js";

const WINDOW = 10_000; // ms over which quantiles are taken: of single answers there are none
const CALM = 5000; // ms over which rates are taken: counters that grow once a second would seem to jump
const SOON = 1000; // ms before which another look tells nothing new
const GAP = 45_000; // ms between two looks after which nothing is said of the time between: longer than any back-off

/** What has changed up to a look: a second, since `before`, and of histograms since `first`. */
class Step {
  constructor({ first, before, after }) {
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

  /** Takes a look down; gives the Step since the one before, null where none can be made, undefined when it is too soon. */
  add(metrics, at) {
    const last = this.#looks.at(-1);
    if (last && at >= last.at && at - last.at < SOON) return undefined;
    const began = (look) => look.metrics.sum("process_start_time_seconds");
    const after = { at, metrics };
    if (!last || at <= last.at || at - last.at > GAP || began(last) !== began(after)) {
      this.#looks = [after];
      return null;
    }
    const within = (time) => this.#looks.find((look) => at - look.at <= time) ?? last;
    const step = new Step({ first: within(WINDOW), before: within(CALM), after });
    this.#looks = [...this.#looks.filter((look) => at - look.at <= WINDOW), after];
    return step;
  }
}
