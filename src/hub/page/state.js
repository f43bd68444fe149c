// What is known of the chat: who one is, which rooms one is in, and who else is there. Views listen; nothing is drawn here.

/** One room. `condition` is new, joining, in, out (put out) or refused; `why` says so in words. */
export class Room {
  condition = "new";
  why = "";
  count = 0; // members, of whom `members` may hold fewer
  members = new Map(); // id → name
  readOnly = false;
  slow = 0; // seconds between two messages of one member; 0 when everybody may write at will
  older = false; // messages before the oldest one shown exist
  unread = 0;
  typing = new Map(); // id → { name, until }
  asked = false; // older messages were asked for and are on their way

  constructor(name, secret) {
    this.name = name;
    this.secret = secret;
  }
}

export class State {
  me = { id: null, name: "" };
  moderator = false;
  limits = { text: 4000 };
  rooms = new Map();
  current = null; // the Room in view
  #listeners = new Map();

  /** `show(room)` gives each new room its log. */
  constructor(show) {
    this.show = show;
  }

  /** Hears of `rooms`, `room` (its condition), `members`, `messages`, `me`; the listener gets the room, if it is one's. */
  on(kind, listener) {
    this.#listeners.set(kind, [...(this.#listeners.get(kind) ?? []), listener]);
  }

  tell(kind, room = null) {
    (this.#listeners.get(kind) ?? []).forEach((listener) => listener(room));
  }

  /** The room of this name, known or new. */
  room(name, secret) {
    const known = this.rooms.get(name);
    if (known) return known;
    const room = new Room(name, secret);
    room.log = this.show(room);
    this.rooms.set(name, room);
    this.tell("rooms");
    return room;
  }

  forget(room) {
    this.rooms.delete(room.name);
    room.log.remove();
    this.tell("rooms");
  }

  /** Brings a room into view. */
  turn(room) {
    if (this.current === room) return;
    this.current?.log.leaveView();
    this.current = room;
    room.log.enterView();
    this.tell("turn", room);
    this.tell("rooms");
    this.tell("members", room);
    this.tell("room", room);
    this.tell("messages", room);
  }

  /** The room of this name if one is in it, else the one in view: where words without a room belong. */
  place(name) {
    return this.rooms.get(name) ?? this.current;
  }

  get unread() {
    return [...this.rooms.values()].reduce((sum, room) => sum + room.unread, 0);
  }
}
