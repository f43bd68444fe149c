// What outlives a reload of this tab: who one is here, the rooms, drafts, messages that are not yet sent, and whom one has
// banned.

const UNSENT = 100; // messages kept at most, so that the storage cannot overflow
const BANNED = 100; // and people: those who were banned last

const text = (value) => typeof value === "string";
const object = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** Only what has the right shape is taken: another version of this page may have written it. */
function checked(found) {
  const rooms = Array.isArray(found.rooms) ? found.rooms.filter((room) => object(room) && text(room.name)) : [];
  const unsent = Array.isArray(found.unsent) ? found.unsent.filter((entry) => (
    object(entry) && [entry.ref, entry.room, entry.text].every(text) && Number.isFinite(entry.time))) : [];
  const drafts = object(found.drafts) ? Object.entries(found.drafts).filter(([, draft]) => text(draft)) : [];
  const banned = Array.isArray(found.banned) ? found.banned.filter((one) => (
    object(one) && [one.room, one.id, one.name].every(text))) : [];
  return {
    session: text(found.session) ? found.session : null,
    name: text(found.name) ? found.name : null,
    spoken: found.spoken === true,
    rooms,
    unsent: unsent.slice(0, UNSENT),
    drafts: new Map(drafts),
    banned: banned.slice(-BANNED),
  };
}

/** The memory of one tab for one hub. Where a browser forbids storage, it lasts as long as the page. */
export class Store {
  #key;
  #queued = false;

  constructor(hub) {
    this.#key = `wsgate chat ${hub}`;
    let found = {};
    try {
      found = JSON.parse(sessionStorage.getItem(this.#key)) ?? {};
    } catch {
      // Forbidden, or not ours: begin anew.
    }
    Object.assign(this, checked(object(found) ? found : {}));
  }

  get full() { return this.unsent.length >= UNSENT; }

  /** Writes down what has changed, once for all changes of this turn. */
  save() {
    if (this.#queued) return;
    this.#queued = true;
    queueMicrotask(() => {
      this.#queued = false;
      const { session, name, spoken, rooms, unsent, banned } = this;
      const drafts = Object.fromEntries(this.drafts);
      try {
        sessionStorage.setItem(this.#key, JSON.stringify({ session, name, spoken, rooms, unsent, drafts, banned }));
      } catch {
        // Full or forbidden: the page goes on, and forgets at its reload.
      }
    });
  }

  /** Whom one has banned from a room; the hub tells nobody who is. */
  bannedFrom({ name }) { return this.banned.filter(({ room }) => room === name); }

  ban(room, { id, name }) {
    this.unban(room, { id });
    this.banned = [...this.banned, { room: room.name, id, name }].slice(-BANNED);
    this.save();
  }

  /** Forgets who has this id, or is called so. */
  unban(room, { id, name }) {
    const alike = (one) => one.id === id || one.name.toLowerCase() === name?.toLowerCase();
    this.banned = this.banned.filter((one) => one.room !== room.name || !alike(one));
    this.save();
  }

  draft(room, words) {
    if (words === "") this.drafts.delete(room);
    else this.drafts.set(room, words);
    this.save();
  }
}
