// The desk behind the door: what is asked of it, with the token, and what comes of that.

const KEY = "wsgate admin token";
const PATIENCE = 15_000; // ms: the door itself takes ten seconds at most

/** The door has answered, and not with what was asked for. */
export class Refusal extends Error {
  constructor(status, { code = "", text = "" }) {
    super(text || `the gateway has answered ${status}`);
    Object.assign(this, { status, code });
  }
}

/** No answer came. */
export class Silence extends Error {}

export class Desk {
  #token = null;

  /** `closed()` hears when the token is not, or no longer, taken. */
  constructor(closed) {
    this.closed = closed;
    try {
      this.#token = sessionStorage.getItem(KEY);
    } catch {
      // A browser that forbids storage: the token lasts as long as the page.
    }
  }

  get isOpen() { return this.#token !== null; }

  /** Whether a header can hold it, as a token of the configuration must. */
  static fits(token) { return /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(token); }

  /** Keeps a token once it has opened the desk. */
  async open(token) {
    await this.#send("GET", "/drain", { token });
    this.#token = token;
    try {
      sessionStorage.setItem(KEY, token);
    } catch {
      // As above.
    }
  }

  forget() {
    this.#token = null;
    try {
      sessionStorage.removeItem(KEY);
    } catch {
      // As above.
    }
  }

  /** Asks with the token. `query` has pairs, of which empty ones are left out; `body` becomes JSON. */
  async ask(method, path, { query = {}, body } = {}) {
    const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
    const words = new URLSearchParams(given).toString();
    try {
      return await this.#send(method, words ? `${path}?${words}` : path, { token: this.#token, body });
    } catch (error) {
      if (error.status === 401 || error.code === "no_token") {
        this.forget();
        this.closed(error);
      }
      throw error;
    }
  }

  get(path, query) { return this.ask("GET", path, { query }); }

  /** The metrics' text, for which no token is needed. */
  async metrics() {
    const answer = await reach("/metrics", {});
    if (!answer.ok) throw new Refusal(answer.status, {});
    return heard(answer.text());
  }

  async #send(method, path, { token, body }) {
    const headers = { Authorization: `Bearer ${token}` };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const answer = await reach(path, { method, headers, body: body && JSON.stringify(body) });
    const told = await heard(answer.json().catch((error) => {
      if (error instanceof SyntaxError) return {};
      throw error;
    }));
    if (!answer.ok) throw new Refusal(answer.status, told);
    return told;
  }
}

async function heard(coming) {
  try {
    return await coming;
  } catch {
    throw new Silence("its answer broke off");
  }
}

async function reach(path, wishes) {
  try {
    return await fetch(path, {
      cache: "no-store", credentials: "omit", redirect: "error", referrerPolicy: "no-referrer",
      signal: AbortSignal.timeout(PATIENCE), ...wishes,
    });
  } catch (error) {
    throw new Silence(error.name === "TimeoutError" ? "it does not answer in time" : "it does not answer");
  }
}
