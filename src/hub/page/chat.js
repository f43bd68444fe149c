// The chat page: puts line, language and views together. Which language is spoken, the server decides: wsgate.chat.v1
// if it chooses that, else plain text, as with `?socket=/path`, where the server behind the gateway need not know ours.

import { $ } from "./?asset=make.js";
import { Compose, hint } from "./?asset=compose.js";
import { Line } from "./?asset=line.js";
import { Log } from "./?asset=log.js";
import { Outbox } from "./?asset=outbox.js";
import { Plain } from "./?asset=plain.js";
import { Side } from "./?asset=side.js";
import { State } from "./?asset=state.js";
import { Store } from "./?asset=store.js";
import { Language, V1 } from "./?asset=v1.js";
import { askAbout, askName, askRoom, askSecret } from "./?asset=sheet.js";
import { address, hub, relayed, roomOfPath, target } from "./?asset=where.js";
import { closed, counted, final, oneLine, shut } from "./?asset=words.js";

const SMALL = 50; // members up to whom a room is told who is typing

// ---- What is known, and how it is shown ----

const store = new Store(relayed ? `socket ${relayed}` : hub);
let language = null; // the one that is spoken, once that is known
let home = ""; // what the hub calls the room of its own path

const state = new State((room) => {
  const log = new Log(room, {
    mine: (id) => id === state.me.id,
    changed: (changed) => state.tell("messages", changed),
    older: (asked) => language?.older?.(asked),
    actions: (message) => (state.moderator ? () => about(room, message.from, message) : null),
  });
  $("messages").append(log.scroller);
  return log;
});

const line = new Line({
  address: target,
  offers,
  onState: showState,
  onOpen: opened,
  onText: (text) => language.receive(text),
  onLost: lost,
  stay: (code) => !final(code),
});

const outbox = new Outbox(state, store, {
  send: ({ ref, room, text, to }) => (
    to ? language.ask("to", { member: to.id, text }, ref) : language.ask("say", { room, text }, ref)),
  failed: hint,
});

const compose = new Compose(state, store, {
  say,
  typing: (room) => room?.condition === "in" && room.count <= SMALL && language.tell?.("typing", { room: room.name }),
  again: (room) => enter(room.name),
});

// ---- The line, and the choice of a language ----

let attempts = 0; // handshakes that failed before any language was spoken

/** A browser fails a handshake whose subprotocol is not taken up, so every third attempt does without. */
function offers() {
  if (relayed || language instanceof Plain) return [];
  return store.spoken || attempts % 3 !== 2 ? [V1] : [];
}

function opened(protocol) {
  if (protocol === V1) {
    language ??= new Language(state, store, line, { greeted, joined, heard, paced, banner, secret });
    store.spoken = true;
    store.save();
  }
  language ??= plain();
  language.open();
  showRead();
}

function plain() {
  document.body.dataset.language = "plain";
  const room = state.current ?? state.room(roomOfPath() || "Main room");
  state.turn(room);
  return new Plain(room, line, { echoes: !relayed, box: $("text"), hint });
}

function lost({ code, reason, opened, asked }) {
  if (!opened && language === null) attempts += 1;
  language?.lost();
  const known = language instanceof Language;
  // In v1 nothing is lost with a line that comes back: the status says enough, unless the server gave a reason.
  const telling = known ? final(code) || ![1000, 1001, 1006, 1012].includes(code) : opened;
  if (!asked && telling) state.current?.log.note(closed({ code, reason }));
}

let heardOf = ""; // what was said aloud last of the line

function showState(now, seconds) {
  const WORDS = { stopped: "Disconnected", connecting: "Connecting…", connected: "Connected", waiting: "Waiting" };
  $("status").dataset.state = now;
  $("status-text").textContent = WORDS[now];
  // A screen reader hears that the line is lost and that it is back, not every attempt, and no seconds.
  const aloud = { ...WORDS, connecting: heardOf, waiting: "Connection lost; trying again" }[now];
  if (aloud !== heardOf) $("aloud").textContent = heardOf = aloud;
  $("countdown").textContent = now === "waiting" ? ` ${seconds} s` : "";
  // While waiting, the button is for people who would rather not wait.
  $("connect").textContent = now === "connected" || now === "connecting" ? "Disconnect" : "Connect";
}

// ---- What v1 tells ----

function greeted() {
  home ||= roomOfPath() === "" ? state.current.name : "";
  line.ready();
}

function joined(room) {
  outbox.show(room);
  outbox.pump(room);
}

function heard(room, message) {
  outbox.heard(room, message);
}

function paced(room) {
  outbox.hurry(room);
}

function banner(words) {
  $("banner").hidden = words === "";
  $("banner").textContent = words;
}

function secret(room) {
  if ($("sheet").open) return; // who is asked already is told there
  askSecret(room.name, async (given) => {
    await language.join(room, given);
    turn(room);
  });
}

// ---- What a person does ----

function say(words, to) {
  const room = state.current;
  if (language instanceof Plain) {
    const taken = language.say(words);
    if (taken) room.log.toEnd();
    return taken;
  }
  if (room === null || store.full) {
    hint(room === null ? "Not connected: your text is kept here until you are." : "Too many messages wait to be sent.");
    return false;
  }
  outbox.add(room, words, to);
  return true;
}

/** Brings a room into view, and into the address. */
function turn(room) {
  if (state.current !== room) history.pushState(null, "", address(room.name));
  state.turn(room);
  if (room.condition === "in") language.who(room);
}

async function enter(name) {
  if (!(language instanceof Language)) return location.assign(name === "" ? hub || "/" : address(name));
  const known = state.rooms.get(name || home);
  if (known?.condition === "in") return turn(known);
  if (name === "" && !known) return location.assign(hub || "/");
  if (line.state !== "connected") return $("go-hint").textContent = "Not connected: try again in a moment.";
  const room = known ?? state.room(name);
  try {
    await language.join(room);
    turn(room);
  } catch (error) {
    if (error.code === "wrong_secret") return;
    if (!known) state.forget(room);
    $("go-hint").textContent = `You cannot enter: ${shut(error)}.`;
  }
}

async function leave(room) {
  await language.leave(room).catch(() => {}); // without a connection one is out of it anyway
  if (state.current === room) turn([...state.rooms.values()].find((other) => other !== room));
  outbox.forget(room);
  state.forget(room);
  language.remember();
}

function about(room, { id, name }, message) {
  side.close(); // on a phone it lies over the box to write in
  const write = id === state.me.id ? null : () => compose.privately({ id, name });
  const act = state.moderator ? (type, fields) => moderate(room, type, fields, { id, name }) : null;
  askAbout({ member: { id, name }, message, write, act });
}

/** Asks as a moderator; `who` is whom it is about, if it is about somebody. */
async function moderate(room, type, fields, who) {
  await language.ask(type, { room: room.name, ...fields });
  if (type === "ban") store.ban(room, who);
  if (type === "unban") store.unban(room, who);
  hint("Done.");
}

// ---- The rest of the page ----

const side = new Side(state, {
  address,
  turn: relayed ? null : (room) => (language instanceof Plain ? undefined : turn(room)),
  leave: relayed ? null : leave,
  member: (id, name) => about(state.current, { id, name }),
});

state.on("turn", (room) => { $("room").textContent = room.name; });
state.on("me", () => { $("moderate").hidden = !state.moderator; });
state.on("messages", showRead);
state.on("rooms", showRead);
state.on("room", showRead);

/** What is unread, wherever it is told. */
function showRead() {
  const room = state.current;
  const unread = state.unread;
  const place = oneLine(room?.name ?? roomOfPath());
  const title = `${unread > 0 ? `(${unread}) ` : ""}${place === "" ? "" : `${place} · `}wsgate chat`;
  if (document.title !== title) document.title = title;
  if (room === null) return;
  $("newer").hidden = room.log.atEnd || room.unread === 0;
  $("newer").textContent = counted(room.unread, "new message");
  $("empty").hidden = !room.log.empty || room.condition === "refused";
  $("empty").textContent = room.condition === "in" ? "It is quiet in here. Say hello: everyone in this room will see it." : "";
}

$("newer").addEventListener("click", () => {
  state.current.log.focus(); // the button is about to vanish with the focus on it
  state.current.log.toEnd();
});

$("connect").addEventListener("click", () => line.toggle());

$("go").addEventListener("submit", (event) => {
  event.preventDefault();
  $("go-hint").textContent = "";
  const name = $("room-name").value.trim();
  $("room-name").value = "";
  side.close();
  enter(name);
});

$("rename").addEventListener("click", () => askName(state.me.name, async (name) => {
  await language.ask("name", { name });
  store.name = name.trim();
  store.save();
}));

$("moderate").addEventListener("click", () => {
  const room = state.current;
  side.close();
  askRoom({
    room,
    banned: store.bannedFrom(room),
    slow: (seconds) => moderate(room, "slow", { seconds }),
    unban: (fields, who) => moderate(room, "unban", fields, who),
  });
});

document.querySelectorAll(".skip").forEach((link) => link.addEventListener("click", (event) => {
  event.preventDefault(); // the address names a room, and stays as it is
  if (link.hash === "#text") $("text").focus();
  else state.current?.log.focus();
}));

addEventListener("popstate", () => {
  const room = state.rooms.get(roomOfPath() || home);
  if (room) state.turn(room);
  else enter(roomOfPath());
});
addEventListener("online", () => (line.state === "waiting" ? line.hurry() : language?.probe()));
addEventListener("offline", () => language?.probe());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  state.current?.log.look();
  if (line.state === "waiting") line.hurry();
  else language?.probe();
});

if (relayed) {
  document.body.dataset.language = "plain";
  state.turn(state.room(`socket: ${relayed.pathname}${relayed.search}`));
}
if (relayed === undefined) hint("The socket address was ignored: it must be a path here, with a single / first.");
showRead();
line.connect();
