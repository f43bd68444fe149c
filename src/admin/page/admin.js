// The page of the admin door: which view is shown, what is asked for it, and what is said when the door does not answer.

import { $, mark, write } from "./?asset=make.js";
import { Backends } from "./?asset=backends.js";
import { Connections } from "./?asset=connections.js";
import { Desk, Refusal } from "./?asset=desk.js";
import { History } from "./?asset=history.js";
import { Metrics } from "./?asset=metrics.js";
import { Overview } from "./?asset=overview.js";
import { Pulse } from "./?asset=pulse.js";
import { Rooms } from "./?asset=rooms.js";

const VIEWS = { overview: "Overview", connections: "Connections", backends: "Backends", rooms: "Rooms" };
const SAID = 8000; // ms for which it is told what was done

const hasToken = document.documentElement.dataset.token === "yes";
const history = new History();
const desk = new Desk(closed);
const again = () => pulse.now();
const overview = new Overview();
const connections = new Connections(desk, { go: (words) => go("connections", words), again, say });
const backends = new Backends(desk, { again, say });
const rooms = new Rooms(desk, again);
const pulse = new Pulse(beat, showPulse);

let view = "overview";

// ---- What is asked ----

/** One look at the door: the metrics, and what the view in question shows besides. */
async function beat() {
  const shown = view;
  const metrics = new Metrics(await desk.metrics());
  const at = Date.now();
  overview.note(history.add(metrics, at), metrics, at);
  write($("version"), metrics.lines("wsgate_build_info")[0]?.labels.version ?? "");
  connections.propose(metrics);
  try {
    if (shown === "overview") overview.show(metrics, at, desk.isOpen ? await desk.get("/drain") : null);
    else if (desk.isOpen) await { connections, backends, rooms }[shown].look(metrics);
  } catch (error) {
    // Without the token there is still the overview; the rest is as when nobody answers.
    if (error instanceof Refusal && [401, 403].includes(error.status)) return;
    throw error;
  }
}

function showPulse(state, seconds, error = null) {
  const told = {
    live: seconds > 2 ? `Live, every ${seconds} s: answers take their time` : "Live, every 2 s",
    trying: "Trying again…",
    held: "Paused",
    waiting: `No figures; again in ${seconds} s`,
  }[state];
  mark($("pulse"), "data-state", state);
  write($("pulse"), told);
  if (error) banner(`The gateway: ${error.message}. What is shown is how it was.`, "grave");
  else if (state === "live") banner("", "grave");
}

// ---- What is shown ----

/** Shows the view that the address names, and what is asked for it. */
function turn() {
  const [name, words = ""] = location.hash.slice(1).split(/\?(.*)/s);
  view = Object.hasOwn(VIEWS, name) ? name : "overview";
  write($("title"), VIEWS[view]);
  document.title = `${VIEWS[view]} · ${location.host} · wsgate`;
  document.querySelectorAll("nav a").forEach((link) => mark(link, "aria-current", link.hash === `#${view}` ? "page" : null));
  if (view === "connections") connections.read(new URLSearchParams(words));
  lock();
  again();
}

function go(name, words = new URLSearchParams()) {
  const text = words.toString();
  const hash = text ? `#${name}?${text}` : `#${name}`;
  if (location.hash === hash) turn();
  else location.hash = hash;
}

/** Asks for the token where there has to be one. */
function lock() {
  const isShut = view !== "overview" && !desk.isOpen;
  for (const name of Object.keys(VIEWS)) $(`view-${name}`).hidden = isShut || name !== view;
  $("key").hidden = !isShut;
  $("key-form").hidden = !hasToken;
  $("no-key").hidden = hasToken;
  $("forget").hidden = !desk.isOpen;
}

/** The desk takes the token no more: another one was configured, or none. */
function closed({ code }) {
  $("key-trouble").textContent = code === "no_token"
    ? "The gateway has no token any more: load this page again for what to do." : "The token is not taken any more.";
  lock();
}

let silence;

/** What was done, for a while. */
function say(words) {
  banner(words, "plain");
  clearTimeout(silence);
  silence = setTimeout(() => banner("", "plain"), SAID);
}

/** Each kind takes away only its own words. */
function banner(words, kind) {
  const element = $("banner");
  if (words === "" && element.dataset.kind !== kind) return;
  mark(element, "data-kind", kind);
  element.hidden = words === "";
  write(element, words);
}

// ---- What a person does ----

$("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = $("token").value.trim();
  $("key-trouble").textContent = "";
  try {
    if (!Desk.fits(token)) throw new Refusal(401, {});
    await desk.open(token);
  } catch (error) {
    $("key-trouble").textContent = error.status === 401 ? "That is not the token." : `That did not work: ${error.message}.`;
    $("token").select();
    return;
  }
  $("token").value = "";
  lock();
  $("main").focus();
  again();
});

$("forget").addEventListener("click", () => {
  desk.forget();
  location.reload(); // nothing of what was shown stays
});

$("hold").addEventListener("click", () => {
  const isHeld = $("hold").getAttribute("aria-pressed") !== "true";
  mark($("hold"), "aria-pressed", isHeld);
  pulse.hold(isHeld);
});

$("again").addEventListener("click", () => location.reload());

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names a view, and stays as it is
  $("main").focus();
});

addEventListener("hashchange", turn);
turn();
