// One connection with everything that is known of it, and the way to close it, or many.

import { button, called, make, mark, write } from "./?asset=make.js";
import { Silence } from "./?asset=desk.js";
import { bytes, oneLine, rate, several, span } from "./?asset=figures.js";
import { attempt, close, field, open, troubles } from "./?asset=sheet.js";

const EVERY = 2000; // ms between two looks at it

const CODES = [
  [1008, "policy"], [1001, "going away"], [1012, "service restart"], [1013, "try again later"], [1000, "normal"],
];

/** Code and reason as they are asked for; `read()` gives both. */
function farewell() {
  const code = field("Close code", {
    id: "sheet-code", type: "number", min: 1000, max: 4999, value: 1008, required: "", list: "codes", inputmode: "numeric",
  });
  const reason = field("Reason", { id: "sheet-reason", maxlength: 123, placeholder: "closed by the operator" });
  const codes = make("datalist", { id: "codes" }, ...CODES.map(([code, name]) => make("option", { value: code }, name)));
  const hint = "1000 to 1003, 1007 to 1014, or your own: 3000 to 4999. The reason has at most 123 bytes.";
  return {
    rows: [make("div", { class: "pair" }, code.row, reason.row), codes, make("p", { class: "hint" }, hint)],
    read: () => ({ code: code.input.value, reason: reason.input.value }),
  };
}

/** Asks how all that are meant by `query` shall be closed. */
export function askAll(desk, { query, total, done }) {
  const [words, trouble] = [farewell(), troubles()];
  const which = Object.entries(query).map(([key, value]) => make("li", {}, `${key} `, called(value)));
  const onsubmit = async (event) => {
    event.preventDefault();
    let told;
    const isDone = await attempt(async () => {
      told = await desk.ask("DELETE", "/connections", { query: { ...query, ...words.read() } });
    }, trouble);
    if (!isDone) return;
    close();
    done(`${several(told.concerned, "connection")} told to go, over ${span(told.seconds)}.`);
  };
  const form = make("form", { onsubmit }, make("p", {}, "Meant are all of which this holds when it is done:"),
    make("ul", { class: "which" }, ...which), ...words.rows, trouble,
    make("button", { type: "submit", class: "grave" }, `Close ${several(total, "connection")}`));
  open(["Close many at once"], [form]);
}

const FACTS = [
  ["Route", ({ route }) => route, true],
  ["Address", ({ address }) => address ?? "none: by a unix socket", true],
  ["Host asked for", ({ host }) => oneLine(host), true],
  ["TLS", ({ tls }) => tls ?? "none"],
  ["Backend", ({ backend }) => backend ?? "none: served here", true],
  ["Open for", ({ age_seconds: age }) => span(age)],
  ["Idle for", ({ idle_seconds: idle }) => span(idle)],
  ["From the client", (now) => `${several(now.frames_in, "message")}, ${bytes(now.bytes_in)}`],
  ["To the client", (now) => `${several(now.frames_out, "message")}, ${bytes(now.bytes_out)}`],
  ["Now", (now, was) => (was ? `${pace(now, was, "in")} in, ${pace(now, was, "out")} out` : "–")],
  ["Waits for the client", ({ queued_bytes: queued }) => bytes(queued)],
  ["State", (now) => state(now)],
];

function pace(now, was, way) {
  const seconds = now.age_seconds - was.age_seconds;
  const each = (name) => (now[`${name}_${way}`] - was[`${name}_${way}`]) / seconds;
  return seconds > 0 ? `${rate(each("frames"))} messages/s, ${bytes(each("bytes"))}/s` : "–";
}

function state({ ending, held }) {
  if (ending) return "closing: a Close was sent or has come";
  return held ? "held: waits for its backend to come back" : "open";
}

/** Shows one, looks at it again and again, and closes it when asked to; `done(words)` hears of that. */
export function show(desk, id, done) {
  const trouble = troubles();
  const gone = make("p", { class: "hint", role: "status" });
  const values = FACTS.map(([, , isNamed]) => make(isNamed ? "bdi" : "span", {}, "…"));
  const pairs = FACTS.flatMap(([name], at) => [make("dt", {}, name), make("dd", {}, values[at])]);
  const list = make("dl", { class: "facts" }, ...pairs);
  const words = farewell();
  const kick = make("button", { type: "submit", class: "grave" }, "Close this connection");
  const onsubmit = async (event) => {
    event.preventDefault();
    const query = words.read();
    if (!await attempt(() => desk.ask("DELETE", `/connections/${id}`, { query }), trouble)) return;
    close();
    done(`Connection ${id} was told to go, with ${query.code}.`);
  };
  const form = make("form", { onsubmit }, ...words.rows, trouble, kick);
  const stop = watch(desk, id, { list, values, gone, kick });
  open([`Connection ${id}`], [list, gone, form], stop);
}

/** Looks at it until it is gone, or nobody looks any more; gives what ends that. */
function watch(desk, id, { list, values, gone, kick }) {
  let [timer, isOver, was] = [0, false, null];
  const look = async () => {
    const now = await desk.get(`/connections/${id}`).catch((error) => error);
    if (isOver) return;
    if (!(now instanceof Error)) {
      FACTS.forEach(([, text], at) => write(values[at], text(now, was)));
      was = now;
      write(gone, "");
    } else if (now.status === 404) {
      write(gone, `It ${was ? `ended after ${span(was.age_seconds)} or a little later` : "has ended"}. The log has how.`);
      mark(list, "data-gone", "");
      kick.disabled = true;
      return;
    } else {
      write(gone, now instanceof Silence ? `The gateway: ${now.message}.` : `${now.message}.`);
    }
    timer = setTimeout(look, EVERY);
  };
  look();
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}

/** The button in a table that leads to one. */
export const opener = (shown) => button("", ({ currentTarget }) => shown(currentTarget.dataset.id), { class: "id" });

/** And what it says. */
export function label(element, { id }) {
  mark(element, "data-id", id);
  mark(element, "aria-label", `Connection ${id}: look at it or close it`);
  write(element, String(id));
}
