// Addresses: the hub's, its rooms', and where the WebSocket leads.

/** The `?socket=/path` address, null when absent, undefined when it must not be used. */
function requestedSocket() {
  const path = new URLSearchParams(location.search).get("socket");
  if (path === null) return null;
  try {
    const url = new URL(path, location.origin);
    // Both checks are needed: a URL parser reads `/\host` as `//host`, which is another origin.
    if (/^\/(?![/\\])/.test(path) && url.origin === location.origin) return url;
  } catch {
    // Not an address at all: refused like the rest.
  }
  return undefined;
}

export const relayed = requestedSocket();

/** The hub's own path, which the server writes into the page; a room's name is what follows it in the address. */
export const hub = document.documentElement.dataset.hub.replace(/\/$/, "");

export const address = (room) => `${hub}/${encodeURIComponent(room)}`;

/** The room that the page's address names; empty for the hub's own. */
export function roomOfPath() {
  const part = location.pathname.slice(hub.length + 1);
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a stray `%` in the address: show it as it is
  }
}

/** Where the WebSocket leads. */
export function target() {
  const url = new URL(relayed || location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  if (!relayed) url.search = "";
  return url;
}
