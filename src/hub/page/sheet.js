// Questions in a dialog: what to do about a person or a message, a new name, a room's password.

import { $, button, called, make } from "./?asset=make.js";

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
  return make("fieldset", {}, make("legend", {}, "As a moderator"),
    make("label", { for: "sheet-reason" }, "Reason, if you like"), reason,
    does("Put out of the room", "kick", fields),
    make("label", { for: "sheet-span" }, "For how long"), time,
    make("div", { class: "row" }, does("Mute", "mute", timed), does("Ban", "ban", timed)));
}
