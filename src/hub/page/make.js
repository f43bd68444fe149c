// Builds what is shown. Whatever anybody wrote goes in as a text node and nothing else: it cannot become markup.

export const $ = (id) => document.getElementById(id);

/** An element with these attributes (`onX` are listeners; null and false are left out) and children. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** A button that does this. */
export function button(label, onclick, attributes = {}) {
  return make("button", { type: "button", onclick, ...attributes }, label);
}

/** A name apart from the text around it, so that right-to-left letters in it turn nothing else around. */
export const called = (name, attributes = {}) => make("bdi", attributes, name);

// Spaces, quotes, controls and invisible characters end an address: what is clicked is what is seen.
const ADDRESS = /\bhttps?:\/\/[^\s<>"'`\p{C}]+/giu;

/** A link to this address, or null when it is none, or one that poses as another (`https://bank@elsewhere`). */
function link(address) {
  try {
    const url = new URL(address);
    if (!/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "") return null;
    return make("a", { href: url.href, target: "_blank", rel: "noopener noreferrer" }, address);
  } catch {
    return null;
  }
}

/** The text as nodes: text as it is, and links for addresses of the web. */
export function withLinks(text) {
  const nodes = [];
  let from = 0;
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    // The full stop behind an address ends the sentence; a bracket does when none was opened.
    const address = found.replace(found.includes("(") ? /[.,;:!?]+$/ : /[.,;:!?)\]}]+$/, "");
    const anchor = link(address);
    if (anchor === null) continue;
    nodes.push(text.slice(from, index), anchor);
    from = index + address.length;
  }
  nodes.push(text.slice(from));
  return nodes.filter((node) => node !== "");
}

/** Puts `elements` into `parent`, in this order, touching only what is out of place: focus stays where it is. */
export function arrange(parent, elements) {
  const wanted = new Set(elements);
  [...parent.children].forEach((child) => wanted.has(child) || child.remove());
  elements.forEach((element, at) => {
    if (parent.children[at] !== element) parent.insertBefore(element, parent.children[at] ?? null);
  });
}
