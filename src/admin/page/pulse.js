// How often the door is asked: every two seconds, less often when answers take long or do not come, and not at all while
// nobody looks.

const EVERY = 2000; // ms
const SHARE = 4; // of its time the gateway spends a fifth at most on us: so much rest for each unit of answering
const LONGEST = 30_000; // ms between two attempts, whatever happens

export class Pulse {
  #timer;
  #ticking;
  #failures = 0;
  #isBusy = false;
  #isWanted = false; // at once, when what is under way is done
  #isHeld = false;

  /** `beat()` asks; `tell(state, seconds, error)` hears of live, waiting (for so many seconds), trying and held. */
  constructor(beat, tell) {
    Object.assign(this, { beat, tell });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#rest();
      else if (!this.#isHeld) this.now();
    });
    addEventListener("online", () => this.#failures > 0 && this.now());
  }

  /** Asks now, or as soon as what is under way is done. */
  async now() {
    this.#rest();
    if (this.#isBusy) return (this.#isWanted = true);
    this.#isBusy = true;
    const began = performance.now();
    if (this.#failures > 0) this.tell("trying", 0);
    const error = await this.beat().then(() => null, (error) => error);
    this.#isBusy = false;
    this.#failures = error === null ? 0 : this.#failures + 1;
    const took = performance.now() - began;
    if (this.#isWanted) {
      this.#isWanted = false;
      return this.now();
    }
    this.#next(error, error === null ? Math.max(EVERY, SHARE * took) : EVERY * 2 ** (this.#failures - 1));
  }

  /** Asks no more until it is let go. */
  hold(isHeld) {
    this.#isHeld = isHeld;
    if (!isHeld) return this.now();
    this.#rest();
    return this.tell("held", 0);
  }

  #next(error, delay) {
    if (this.#isHeld) return this.tell("held", 0);
    const wait = Math.min(LONGEST, delay);
    const until = performance.now() + wait;
    const tick = () => this.tell("waiting", Math.max(1, Math.ceil((until - performance.now()) / 1000)), error);
    if (error === null) this.tell("live", Math.round(wait / 1000));
    else tick();
    if (document.hidden) return undefined;
    this.#timer = setTimeout(() => this.now(), wait);
    if (error !== null) this.#ticking = setInterval(tick, 1000);
    return undefined;
  }

  #rest() {
    clearTimeout(this.#timer);
    clearInterval(this.#ticking);
  }
}
