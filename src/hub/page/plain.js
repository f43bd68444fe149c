// The plain language: text in, `User #7: text` out, nothing else. Older hubs and servers written by hand speak it.

const REPLAY_FIRST = 600; // after a reconnect: how long, in milliseconds, the replay may take to begin,
const REPLAY_QUIET = 200; // the silence that ends it,
const REPLAY_MAX = 2000; // and when it is over whatever happens
const SHOWN = 500; // messages remembered to recognise them in a replay

const ENTITIES = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'" };

/** Undoes the server's escaping in a single pass, so that `&amp;lt;` comes out as `&lt;`. */
const decode = (escaped) => escaped.replace(/&(?:amp|lt|gt|quot|#39);/g, (entity) => ENTITIES[entity]);

function split(raw) {
  const [, who, said] = /^(User #\d{1,20}): ([^]*)$/.exec(raw) ?? [];
  return who === undefined ? { who: "", said: decode(raw) } : { who, said: decode(said) };
}

export class Plain {
  #shown = []; // what came in, oldest first, as the server sent it
  #count = 0;
  #again = false; // false only for the first connection of this page
  #held = null; // messages of a new connection until the replay is complete, else null
  #timer;
  #replayEnds = 0;
  #unconfirmed = []; // sent, but not yet seen coming back from the hub
  #givenBack = null; // the text put back into the box because it may not have arrived

  /** `echoes`: whether the hub sends everyone's messages to their sender too; `box` is where people write. */
  constructor(room, line, { echoes, box, hint }) {
    Object.assign(this, { room, line, echoes, box, hint });
  }

  open() {
    this.line.ready();
    this.room.condition = "in";
    if (this.#givenBack === null) this.hint("");
    if (this.#again) {
      this.#held = [];
      this.#replayEnds = Date.now() + REPLAY_MAX;
      this.#timer = setTimeout(() => this.#release(), REPLAY_FIRST);
    }
    this.#again = true;
  }

  lost() {
    this.#release();
    this.room.condition = "new";
    this.#giveBack();
  }

  receive(raw) {
    if (this.#held === null) return this.#show(raw);
    this.#held.push(raw);
    clearTimeout(this.#timer);
    const left = Math.min(REPLAY_QUIET, this.#replayEnds - Date.now());
    this.#timer = setTimeout(() => this.#release(), Math.max(0, left));
  }

  probe() {}

  /** Whether the words are on their way; when not, they stay in the box. */
  say(words) {
    if (this.line.state !== "connected" || !this.line.send(words)) {
      this.hint("Not connected: your text is kept here until you are.");
      return false;
    }
    if (this.echoes) this.#unconfirmed.push(words);
    this.#givenBack = null;
    return true;
  }

  #show(raw) {
    const { who, said } = split(raw);
    this.#shown.push(raw);
    if (this.#shown.length > SHOWN) this.#shown.shift();
    this.#count += 1;
    const id = this.#count.toString(16).padStart(16, "0");
    this.room.log.put({ id, time: null, from: { id: who, name: who }, text: said });
    this.#confirm(said);
  }

  /** How many of the first messages in `replay` are the last ones on the screen. */
  #overlap(replay) {
    for (let size = Math.min(this.#shown.length, replay.length); size > 0; size -= 1) {
      const start = this.#shown.length - size;
      if (replay.slice(0, size).every((raw, i) => raw === this.#shown[start + i])) return size;
    }
    return 0;
  }

  #release() {
    if (this.#held === null) return;
    clearTimeout(this.#timer);
    const replay = this.#held;
    this.#held = null;
    const repeated = this.#overlap(replay);
    const gap = repeated === 0 && this.#shown.length > 0 && replay.length > 0 ? " · some messages may be missing" : "";
    this.room.log.divide(`Reconnected${gap}`);
    replay.slice(repeated).forEach((raw) => this.#show(raw));
  }

  /** What comes back from the hub has arrived there. */
  #confirm(said) {
    const at = this.#unconfirmed.indexOf(said);
    if (at >= 0) this.#unconfirmed.splice(0, at + 1);
    if (said !== this.#givenBack) return;
    if (this.box.value === this.#givenBack) this.box.value = "";
    this.#givenBack = null;
    this.hint("");
  }

  /** A dead connection takes words without complaint: return those that were never echoed. */
  #giveBack() {
    const last = this.box.value === "" ? this.#unconfirmed.pop() : undefined;
    this.#unconfirmed.forEach((said) => this.room.log.note(`This may not have been delivered: ${said}`));
    this.#unconfirmed = [];
    if (last === undefined) return;
    this.#givenBack = this.box.value = last;
    this.hint("Your last message may not have arrived, so here it is again.");
  }
}
