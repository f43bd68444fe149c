// Questions in a dialog: what to do about a person, a message or a room, a new name, a room's password.

import { $, button, called, make } from "./?asset=make.js";
import { span } from "./?asset=words.js";

const PACES = [0, 5, 15, 30, 60, 300, 900, 3600, 21600]; // seconds between two messages of one member
const SPANS = [[600, "10 minutes"], [3600, "1 hour"], [86400, "1 day"], [30 * 86400, "30 days"]];

/** Shows the dialog with this title and content. Escape and its last button close it. */
function open(title, ...content) {
  $("sheet-title").replaceChildren(...title);
  $("sheet-body").replaceChildren(...content, button("Cancel", close));
  $("sheet").showModal();
}

const close = () => $("sheet").close();

/** Does it, and closes; a refusal is told in the dialog, which stays. */
async function attempt(action, trouble) {
  trouble.textContent = "";
  try {
    await action();
    close();
  } catch (error) {
    trouble.textContent = `That did not work: ${error.message}.`;
  }
}

/** Other words for "there is no such member", where it means something else. */
const meaning = (words) => (error) => { throw error.code === "no_such_member" ? new Error(words) : error; };

const troubles = () => make("p", { class: "hint", role: "alert" });

/** A form of one field; `send(value)` may be refused. */
function ask(title, label, attributes, verb, send) {
  const trouble = troubles();
  const field = make("input", { id: "sheet-field", autocomplete: "off", required: "", ...attributes });
  const form = make("form", {
    onsubmit: (event) => {
      event.preventDefault();
      attempt(() => send(field.value), trouble);
    },
  }, make("label", { for: "sheet-field" }, label), field, trouble, make("button", { type: "submit", class: "main" }, verb));
  open(title, form);
  field.select();
}

export function askName(name, send) {
  const value = /^User #\d+$/.test(name) ? "" : name;
  ask(["Change name"], "What shall you be called?", { type: "text", maxlength: "64", value }, "Change", send);
}

export function askSecret(room, send) {
  ask([called(room), " has a password"], "Password of this room", { type: "password" }, "Enter", send);
}

/**
 * What to do about a person, and about one message when it is given. `act(type, fields)` asks the server as a
 * moderator, and is null for others; `write()` is null for oneself.
 */
export function askAbout({ member, message, write, act }) {
  const trouble = troubles();
  const rows = [];
  const row = (label, action, attributes) => rows.push(button(label, () => attempt(action, trouble), attributes));
  // Closed first: closing gives the focus back, and writing takes it.
  if (write) rows.push(button("Write to this person only", () => {
    close();
    write();
  }));
  if (act && message) row("Delete this message", () => act("delete", { id: message.id }), { class: "grave" });
  if (act && write) rows.push(moderation(member, act, trouble));
  open([called(member.name)], ...rows, trouble);
}

function moderation({ id }, act, trouble) {
  const time = make("select", { id: "sheet-span" }, ...SPANS.map(([seconds, label]) => (
    make("option", { value: seconds }, label))));
  const reason = make("input", { id: "sheet-reason", type: "text", maxlength: "200", autocomplete: "off" });
  const fields = () => ({ member: id, ...(reason.value.trim() && { reason: reason.value.trim() }) });
  const timed = () => ({ ...fields(), for: Number(time.value) });
  const does = (label, type, wish) => button(label, () => attempt(() => act(type, wish()), trouble), { class: "grave" });
  const unmute = () => act("mute", { member: id, for: 0 }).catch(meaning("this person is not muted"));
  return make("fieldset", {}, make("legend", {}, "As a moderator"),
    make("label", { for: "sheet-reason" }, "Reason, if you like"), reason,
    does("Put out of the room", "kick", fields),
    make("label", { for: "sheet-span" }, "For how long"), time,
    make("div", { class: "row" }, does("Mute", "mute", timed), does("Ban", "ban", timed)),
    button("Unmute", () => attempt(unmute, trouble)));
}

/**
 * What to do about a room as a moderator: `slow(seconds)`, and `unban(fields, who)`. `banned` are those of whom this page
 * knows, with `id` and `name`; others are called by their name.
 */
export function askRoom({ room, banned, slow, unban }) {
  const trouble = troubles();
  open(["Moderate ", called(room.name)], pace(room, slow, trouble), bans(banned, unban, trouble), trouble);
}

/** A form with a heading; `does()` may be refused. */
function section(heading, does, trouble, ...content) {
  const onsubmit = (event) => {
    event.preventDefault();
    attempt(does, trouble);
  };
  return make("form", { onsubmit }, make("fieldset", {}, make("legend", {}, heading), ...content));
}

function pace(room, slow, trouble) {
  const all = [...new Set([...PACES, room.slow])].sort((one, other) => one - other);
  const chosen = make("select", { id: "sheet-pace" }, ...all.map((seconds) => {
    const selected = seconds === room.slow ? "" : null;
    return make("option", { value: seconds, selected }, seconds === 0 ? "No wait" : span(seconds));
  }));
  return section("Slow mode", () => slow(Number(chosen.value)), trouble,
    make("label", { for: "sheet-pace" }, "Wait between two messages of one person"), chosen,
    make("button", { type: "submit" }, "Set"));
}

function bans(banned, unban, trouble) {
  const free = (fields, who) => unban(fields, who).catch(meaning("nobody of this name is banned from this room"));
  const known = banned.map(({ id, name }) => (
    button(make("span", {}, "Let ", called(name), " in again"), () => (
      attempt(() => free({ member: id }, { id }), trouble)))));
  const field = make("input", { id: "sheet-name", type: "text", maxlength: "64", autocomplete: "off", required: "" });
  const byName = () => {
    const name = field.value.trim();
    return free({ name }, { name });
  };
  return section("Bans", byName, trouble, ...known,
    make("label", { for: "sheet-name" }, "Name of somebody who is banned"), field,
    make("button", { type: "submit" }, "Unban"));
}
