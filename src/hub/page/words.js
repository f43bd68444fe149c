// What happens, in plain words.

const CLOSED = {
  1000: "The server closed the connection.",
  1001: "The gateway is going away, most likely to restart.",
  1006: "The connection was lost.",
  1008: "The server ended the connection: a message or the connection itself broke its rules.",
  1009: "The server ended the connection: a message was too big.",
  1011: "The server ended the connection: it had an internal problem.",
  1012: "The gateway is restarting.",
  1013: "The server ended the connection: it is overloaded, or this browser was too slow to keep up.",
  4401: "Your permission to be here has expired.",
  4403: "A moderator has closed this chat to you.",
  4409: "This chat goes on in another tab or window, so it has stopped here. Connect to bring it back.",
};

/** Why the connection ended; the server's own words are added where ours are not the whole story. */
export function closed({ code, reason }) {
  const why = CLOSED[code] ?? `The connection was closed (code ${code}).`;
  return reason && code !== 4409 ? `${why} It said: ${reason}` : why;
}

/** After these nobody comes back unasked: it would be against somebody's will. */
export const final = (code) => code === 4403 || code === 4409;

const REFUSED = {
  too_long: "it is too long",
  not_joined: "you are not in this room",
  no_such_room: "there is no such room",
  bad_room: "a room cannot be called that",
  room_full: "the room is full",
  rooms_full: "there are as many rooms as there may be",
  too_many_rooms: "you are in as many rooms as you may be; leave one first",
  wrong_secret: "the password is not right",
  forbidden: "you may not do that",
  read_only: "this room is for reading only",
  bad_name: "nobody can be called that",
  name_taken: "somebody here is called that already",
  no_such_member: "this person is not here any more",
  no_such_message: "this message is gone",
  rate_limited: "that was too much at once; wait a moment",
  slow_mode: "the room is in slow mode; wait a moment",
  muted: "a moderator has muted you",
  banned: "a moderator has closed this room to you",
  filtered: "the server does not let this text pass",
  filter_down: "the server cannot check texts at the moment",
  too_late: "it came too late",
  lost: "the connection was lost",
};

/** Why a room is closed to somebody, as the end of a sentence. */
export function shut(error) {
  if (error.code === "name_taken") return "somebody in it is called like you; change your name, and try again";
  return refused(error);
}

/** Why something was refused, as the end of a sentence; a code from the future brings its own text. */
export function refused({ code, text }) {
  return Object.hasOwn(REFUSED, code) ? REFUSED[code] : text || code || "the server refused";
}

const NOTICES = {
  apart: "This server cannot reach the others at the moment: messages may come late, or not to everybody.",
  together: "The servers have found each other again.",
  muted: "A moderator has muted you in this room.",
  unmuted: "You may write in this room again.",
};

/** What the server wants known; `store` is said of two conditions, so only the server's own words tell which. */
export function notice({ code, text, seconds }) {
  if (code === "slow" && Number.isFinite(seconds)) {
    return seconds > 0 ? `Slow mode: everybody may write once in ${span(seconds)}.` : "Slow mode is off.";
  }
  if (code === "store" && text) return `About this server: ${text}.`;
  return Object.hasOwn(NOTICES, code) ? NOTICES[code] : text || code;
}

/** Why somebody is out of a room. */
export function putOut(why, text) {
  const words = text ? ` The moderator said: ${text}` : "";
  if (why === "kicked" || why === "banned") return `You were put out of this room by a moderator.${words}`;
  if (why === "closed") return "This room was closed.";
  return why ? `You are not in this room any more: ${why}` : "You are not in this room any more.";
}

/** A time that people say: `90` is "90 seconds". */
export function span(seconds) {
  const [unit, name] = [[86400, "day"], [3600, "hour"], [60, "minute"]].find(([unit]) => seconds % unit === 0) ?? [1, "second"];
  return counted(seconds / unit, name);
}

export const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** For titles and labels, which are one line: without characters that are not seen, or turn the line around. */
export const oneLine = (text) => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, " ").trim();

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const WHOLE = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

/** A moment as { short, long, machine }; the day is told when it is not today. */
export function moment(time) {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return { short: "", long: "", machine: "" };
  const today = date.toDateString() === new Date().toDateString();
  const short = today ? CLOCK.format(date) : `${DAY.format(date)}, ${CLOCK.format(date)}`;
  return { short, long: WHOLE.format(date), machine: date.toISOString() };
}
