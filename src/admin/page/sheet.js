// Questions in a dialog: whether something shall be done, and what is to be said with it.

import { $, button, make } from "./?asset=make.js";

let away = null; // what is to be done when the dialog has closed

/** Shows the dialog with this title and content. Escape and its last button lead back; `closed()` hears of that. */
export function open(title, content, closed = null) {
  $("sheet-title").replaceChildren(...title);
  $("sheet-body").replaceChildren(...content, button("Back", close, { class: "last" }));
  away = closed;
  if (!$("sheet").open) $("sheet").showModal();
}

export const close = () => $("sheet").close();

$("sheet").addEventListener("close", () => {
  const closed = away;
  away = null;
  $("sheet-body").replaceChildren(); // what nobody sees is not kept
  closed?.();
});

export const troubles = () => make("p", { class: "trouble", role: "alert" });

/** Does it; a refusal is told in `trouble`. Whether it was done. */
export async function attempt(action, trouble) {
  trouble.textContent = "";
  try {
    await action();
    return true;
  } catch (error) {
    trouble.textContent = `That did not work: ${error.message}.`;
    return false;
  }
}

/** A field with its label. */
export function field(label, attributes) {
  const input = make("input", { autocomplete: "off", spellcheck: "false", ...attributes });
  return { input, row: make("label", {}, label, " ", input) };
}

/** Asks whether it shall be done. With `word`, that has to be typed first: nothing final is done by a slip. */
export function confirm({ title, text, verb, word = null, action }) {
  const trouble = troubles();
  const typed = word && field(`Type “${word}” if that is what you want`, { id: "sheet-word", required: "", pattern: word });
  const onsubmit = async (event) => {
    event.preventDefault();
    if (await attempt(action, trouble)) close();
  };
  const rows = [...text.map((line) => make("p", {}, ...line)), ...(typed ? [typed.row] : []), trouble];
  open(title, [make("form", { onsubmit }, ...rows, make("button", { type: "submit", class: "grave" }, verb))]);
}
