// Builds what is shown. Whatever anybody wrote goes in as a text node and nothing else: it cannot become markup.

export const $ = (id) => document.getElementById(id);

function dress(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** An element with these attributes (`onX` are listeners; null and false are left out) and children. */
export const make = (tag, attributes = {}, ...children) => dress(document.createElement(tag), attributes, children);

/** The same, of a drawing. */
export const draw = (tag, attributes = {}, ...children) => (
  dress(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children));

/** A button that does this. */
export const button = (label, onclick, attributes = {}) => make("button", { type: "button", onclick, ...attributes }, label);

/** What others have named, apart from the text around it: right-to-left letters in it turn nothing else around. */
export const called = (name, attributes = {}) => make("bdi", attributes, name);

/** Writes a text where another stands; the same text is not touched, so that what is selected stays selected. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets an attribute, or with null takes it away; the same value is not touched. */
export function mark(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** Puts `elements` into `parent`, in this order, touching only what is out of place: focus stays where it is. */
export function arrange(parent, elements) {
  const wanted = new Set(elements);
  [...parent.children].forEach((child) => wanted.has(child) || child.remove());
  elements.forEach((element, at) => {
    if (parent.children[at] !== element) parent.insertBefore(element, parent.children[at] ?? null);
  });
}
