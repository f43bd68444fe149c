// The chat page: keeps one WebSocket to the hub open and shows what arrives as plain text.
"use strict";

const MAX_SHOWN = 500; // entries kept in the page, so that a busy room cannot fill the memory
const MIN_DELAY = 500; // bounds of the wait before reconnecting, in milliseconds
const MAX_DELAY = 30000;
const STABLE_AFTER = 10000; // a connection this old proves the server well: the back-off starts over
const OPEN_WITHIN = 15000; // browsers wait minutes for a handshake; people do not
const REPLAY_FIRST = 600; // after a reconnect: how long the replay may take to begin,
const REPLAY_QUIET = 200; // the silence that ends it,
const REPLAY_MAX = 2000; // and when it is over whatever happens

const $ = (id) => document.getElementById(id);
const list = $("messages");
const text = $("text");

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

function decodePath(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a stray `%` in the address: show it as it is
  }
}

const relayed = requestedSocket();
const target = new URL(relayed || location.href);
target.protocol = location.protocol === "https:" ? "wss:" : "ws:";
target.hash = "";
if (!relayed) target.search = "";

// The server writes the hub's own path into the page; a room's name is what follows it in the address.
const hub = document.documentElement.dataset.hub.replace(/\/$/, "");
const room = decodePath(location.pathname.slice(hub.length + 1));
const place = relayed ? `socket: ${relayed.pathname}${relayed.search}` : room || "Main room";

// ---- What is on the screen -------------------------------------------------------------------

let shown = []; // the messages in the list, oldest first, as the server sent them
let follow = true; // the reader is at the bottom: keep it in view
let scrollQueued = false;
let missed = 0; // messages that arrived below what the reader sees
let unseen = 0; // messages that arrived while the tab was hidden

const ENTITIES = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'" };

/** Undoes the server's escaping in a single pass, so that `&amp;lt;` comes out as `&lt;`. */
function decode(escaped) {
  return escaped.replace(/&(?:amp|lt|gt|quot|#39);/g, (entity) => ENTITIES[entity]);
}

function split(raw) {
  const [, who, said] = /^User #(\d{1,20}): ([^]*)$/.exec(raw) || [];
  return who === undefined ? { who: null, said: decode(raw) } : { who, said: decode(said) };
}

/** Text goes in as textContent, never as innerHTML: a message cannot become markup. */
const span = (className, textContent) => Object.assign(document.createElement("span"), { className, textContent });

function append(className, ...children) {
  const item = document.createElement("li");
  item.className = className;
  item.setAttribute("role", "none"); // inside a log an item is just text, not part of a list
  item.append(...children);
  list.append(item);
  while (list.childElementCount > MAX_SHOWN) {
    if (list.firstChild.matches(".message")) shown.shift();
    list.firstChild.remove();
  }
  queueScroll();
  return item;
}

function showMessage(raw) {
  const { who, said } = split(raw);
  shown.push(raw);
  const body = span("said", said);
  body.dir = "auto"; // right-to-left text keeps to its own line
  if (who === null) {
    append("message plain", body);
  } else {
    const again = list.lastElementChild?.dataset.who === who;
    const item = append(again ? "message again" : "message", span("who", `User #${who}`), span("colon", ": "), body);
    item.dataset.who = who;
    item.dataset.face = who.slice(-3);
    item.dataset.hue = String(Number(who.slice(-6)) % 6);
  }
  confirm(said);
  if (!follow) missed += 1;
  if (document.hidden) unseen += 1;
  showUnread();
}

const showNote = (words) => append("note", span("words", words));

function showUnread() {
  $("newer").hidden = missed === 0;
  $("newer").textContent = missed === 1 ? "1 new message" : `${missed} new messages`;
  document.title = `${unseen > 0 ? `(${unseen}) ` : ""}${place} · wsgate chat`;
}

/** Scrolls once per frame at most: measuring for every message would stall a busy room. */
function queueScroll() {
  if (!follow || scrollQueued) return;
  scrollQueued = true;
  requestAnimationFrame(() => {
    scrollQueued = false;
    if (follow) list.scrollTop = list.scrollHeight;
  });
}

list.addEventListener("scroll", () => {
  // While a scroll is queued the distance only tells of text not yet brought into view.
  if (scrollQueued) return;
  follow = list.scrollHeight - list.clientHeight - list.scrollTop < 40;
  if (follow) missed = 0;
  showUnread();
}, { passive: true });

// In a very busy room a scroll is always queued: turning the wheel up must still get away.
list.addEventListener("wheel", (event) => (follow &&= event.deltaY >= 0 || list.scrollTop === 0), { passive: true });

// A phone's keyboard shrinks the list without scrolling it.
new ResizeObserver(queueScroll).observe(list);

$("newer").addEventListener("click", () => {
  follow = true;
  missed = 0;
  list.focus({ preventScroll: true }); // the button is about to vanish with the focus on it
  showUnread();
  queueScroll();
});

// ---- The replay after a reconnect ------------------------------------------------------------

let rejoining = false; // false only for the first connection of this page
let held = null; // messages of a new connection until the replay is complete, else null
let replayTimer, replayEnds;

/** How many of the first messages in `replay` are the last ones on the screen. */
function overlap(replay) {
  for (let size = Math.min(shown.length, replay.length); size > 0; size -= 1) {
    const start = shown.length - size;
    if (replay.slice(0, size).every((raw, i) => raw === shown[start + i])) return size;
  }
  return 0;
}

function holdReplay() {
  if (rejoining) held = [];
  rejoining = true;
  if (held === null) return;
  replayEnds = Date.now() + REPLAY_MAX;
  replayTimer = setTimeout(releaseReplay, REPLAY_FIRST);
}

function releaseReplay() {
  if (held === null) return;
  clearTimeout(replayTimer);
  const replay = held;
  held = null;
  const repeated = overlap(replay);
  const gap = repeated === 0 && shown.length > 0 && replay.length > 0 ? " · some messages may be missing" : "";
  append("divider", span("words", `Reconnected${gap}`));
  replay.slice(repeated).forEach(showMessage);
}

function receive(data) {
  const raw = typeof data === "string" ? data : `(binary message, ${data.byteLength} bytes)`;
  if (held === null) return showMessage(raw);
  held.push(raw);
  clearTimeout(replayTimer);
  replayTimer = setTimeout(releaseReplay, Math.max(0, Math.min(REPLAY_QUIET, replayEnds - Date.now())));
}

// ---- The connection --------------------------------------------------------------------------

let socket = null; // the current one; events of any other are ignored
let state = "stopped"; // stopped, connecting, connected or waiting
let failures = 0; // attempts since the last stable connection
let openedAt = 0; // when the current connection opened, 0 before
let retryTimer;
const CLOSED = {
  1000: "The server closed the connection.",
  1001: "The gateway is going away, most likely to restart.",
  1006: "The connection was lost.",
  1008: "The server ended the connection: a message or the connection itself broke its rules.",
  1009: "The server ended the connection: a message was too big.",
  1011: "The server ended the connection: it had an internal problem.",
  1012: "The gateway is restarting.",
  1013: "The server ended the connection: it is overloaded, or this browser was too slow to keep up.",
};

function setState(next, words) {
  state = next;
  $("status").dataset.state = next;
  $("status-text").textContent = words;
  $("countdown").textContent = "";
  // While waiting, the button is for people who would rather not wait.
  $("connect").textContent = next === "connected" || next === "connecting" ? "Disconnect" : "Connect";
}

function connect() {
  clearInterval(retryTimer);
  setState("connecting", "Connecting…");
  const mine = new WebSocket(target);
  socket = mine;
  openedAt = 0;
  mine.binaryType = "arraybuffer";
  const patience = setTimeout(() => mine.close(), OPEN_WITHIN);
  mine.onopen = () => {
    clearTimeout(patience);
    if (mine !== socket) return;
    openedAt = Date.now();
    setState("connected", "Connected");
    if (givenBack === null) hint("");
    holdReplay();
  };
  mine.onmessage = (event) => mine === socket && receive(event.data);
  mine.onclose = (event) => {
    clearTimeout(patience);
    if (mine === socket) lost(event);
  };
}

function lost(event) {
  socket = null;
  releaseReplay();
  if (openedAt !== 0) {
    const why = CLOSED[event.code] || `The connection was closed (code ${event.code}).`;
    showNote(event.reason ? `${why} It said: ${event.reason}` : why);
    if (Date.now() - openedAt >= STABLE_AFTER) failures = 0;
    giveBack();
  }
  // Full jitter: after a restart the clients must not all come back at the same moment.
  const ceiling = Math.min(MAX_DELAY, MIN_DELAY * 2 ** (failures + 1));
  failures += 1;
  wait(MIN_DELAY + Math.random() * (ceiling - MIN_DELAY));
}

function wait(delay) {
  const until = Date.now() + delay;
  setState("waiting", "Waiting");
  const tick = () => {
    const left = until - Date.now();
    if (left <= 0) return connect();
    // Outside the announced text: a screen reader should not count the seconds aloud.
    $("countdown").textContent = ` ${Math.ceil(left / 1000)} s`;
  };
  retryTimer = setInterval(tick, 200);
  tick();
}

function disconnect() {
  clearInterval(retryTimer);
  const old = socket;
  socket = null;
  failures = 0;
  releaseReplay();
  if (old) old.close(1000);
  setState("stopped", "Disconnected");
  giveBack();
}

$("connect").addEventListener("click", () => {
  if (state === "connected" || state === "connecting") return disconnect();
  failures = 0; // a person asked: the back-off is for machines
  connect();
});

// Back online or back in view is the best moment to try again.
const hurry = () => state === "waiting" && !document.hidden && connect();
addEventListener("online", hurry);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) unseen = 0;
  showUnread();
  hurry();
});

// ---- Writing ---------------------------------------------------------------------------------

let unconfirmed = []; // sent, but not yet seen coming back from the hub
let givenBack = null; // the text put back into the box because it may not have arrived

const hint = (words) => void ($("hint").textContent = words);

/** The hub sends everyone's messages to their sender too: that is the proof of arrival. */
function confirm(said) {
  const at = unconfirmed.indexOf(said);
  if (at >= 0) unconfirmed.splice(0, at + 1);
  if (said === givenBack) {
    if (text.value === givenBack) text.value = "";
    givenBack = null;
    hint("");
  }
}

/** A dead connection takes words without complaint: return those that were never echoed. */
function giveBack() {
  const last = text.value === "" ? unconfirmed.pop() : undefined;
  unconfirmed.forEach((said) => showNote(`This may not have been delivered: ${said}`));
  unconfirmed = [];
  if (last === undefined) return;
  givenBack = text.value = last;
  hint("Your last message may not have arrived, so here it is again.");
}

$("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  const words = text.value;
  if (words.trim() === "") return;
  if (state !== "connected" || socket.readyState !== WebSocket.OPEN) {
    return hint("Not connected: your text is kept here until you are.");
  }
  socket.send(words);
  if (!relayed) unconfirmed.push(words); // another backend need not echo
  text.value = "";
  givenBack = null;
  hint("");
  follow = true; // whoever speaks wants to see the answer
  queueScroll();
});

text.addEventListener("input", () => {
  const left = text.maxLength - text.value.length;
  hint(left === 0 ? "This is the longest a message can be." : left <= 200 ? `${left} characters left` : "");
});

$("go").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("room-name").value;
  location.assign(name === "" ? hub || "/" : `${hub}/${encodeURIComponent(name)}`);
});

$("room").textContent = place;
showUnread();
if (relayed === undefined) showNote("The socket address was ignored: it must be a path here, with a single / first.");
connect();
