// One WebSocket that is kept open: patience, back-off with full jitter, and a person who may not want to wait.

const MIN_DELAY = 500; // bounds of the wait before reconnecting, in milliseconds
const MAX_DELAY = 30000;
const STABLE_AFTER = 10000; // a connection this old proves the server well: the back-off starts over
const OPEN_WITHIN = 15000; // browsers wait minutes for a handshake; people do not

export class Line {
  #socket = null; // the current one; events of any other are ignored
  #failures = 0; // attempts since the last stable connection
  #readyAt = 0; // when the current connection came to speak, 0 before
  #retry;
  #patience;

  /**
   * `address()` and `offers()` give the address and the subprotocols for each attempt. `onState(state, seconds)` hears
   * of stopped, connecting, connected and waiting; `onOpen(protocol)`, `onText(text)` and `onLost({ code, reason,
   * opened, asked })` of the rest. `stay(code)` says whether to come back after a close.
   */
  constructor(wishes) {
    this.wishes = wishes;
    this.state = "stopped";
  }

  connect() {
    clearInterval(this.#retry);
    const mine = new WebSocket(this.wishes.address(), this.wishes.offers());
    this.#socket = mine;
    this.#readyAt = 0;
    let opened = false;
    mine.binaryType = "arraybuffer";
    this.#become("connecting");
    // Until the first word of the server, not only until the handshake: a line that is open and mute is none.
    this.#patience = setTimeout(() => mine === this.#socket && this.suspect(), OPEN_WITHIN);
    mine.onopen = () => {
      opened = true;
      if (mine === this.#socket) this.wishes.onOpen(mine.protocol);
    };
    mine.onmessage = ({ data }) => {
      if (mine !== this.#socket) return;
      this.wishes.onText(typeof data === "string" ? data : `(binary message, ${data.byteLength} bytes)`);
    };
    mine.onclose = ({ code, reason }) => mine === this.#socket && this.#lost({ code, reason, opened, asked: false });
  }

  /** The language has greeted: from now on the line is of use. */
  ready() {
    clearTimeout(this.#patience);
    this.#readyAt = Date.now();
    this.#become("connected");
  }

  /** Whether the text was taken; that it arrives, only an answer can tell. */
  send(text) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(text);
    return true;
  }

  /** Nothing comes through any more: a browser would notice only after minutes. */
  suspect() {
    const old = this.#socket;
    if (old === null) return;
    const opened = old.readyState === WebSocket.OPEN;
    this.#lost({ code: 1006, reason: "", opened, asked: false });
    old.close();
  }

  /** Back online or back in view is the best moment to try again. */
  hurry() {
    if (this.state === "waiting") this.connect();
  }

  /** By the button: leaves, or comes at once; the back-off is for machines. */
  toggle() {
    this.#failures = 0;
    if (this.state !== "connected" && this.state !== "connecting") return this.connect();
    const old = this.#socket;
    this.#lost({ code: 1000, reason: "", opened: this.#readyAt !== 0, asked: true });
    old?.close(1000);
  }

  #lost(end) {
    clearTimeout(this.#patience);
    this.#socket = null;
    if (this.#readyAt !== 0 && Date.now() - this.#readyAt >= STABLE_AFTER) this.#failures = 0;
    this.wishes.onLost(end);
    if (end.asked || !this.wishes.stay(end.code)) return this.#become("stopped");
    // Full jitter: after a restart the clients must not all come back at the same moment.
    const ceiling = Math.min(MAX_DELAY, MIN_DELAY * 2 ** (this.#failures + 1));
    this.#failures += 1;
    this.#wait(MIN_DELAY + Math.random() * (ceiling - MIN_DELAY));
  }

  #wait(delay) {
    const until = Date.now() + delay;
    const tick = () => {
      const left = until - Date.now();
      if (left <= 0) return this.connect();
      this.#become("waiting", Math.ceil(left / 1000));
    };
    clearInterval(this.#retry);
    this.#retry = setInterval(tick, 200);
    tick();
  }

  #become(state, seconds = 0) {
    if (state !== "waiting") clearInterval(this.#retry);
    this.state = state;
    this.wishes.onState(state, seconds);
  }
}
