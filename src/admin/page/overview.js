// The gateway at a glance: what needs attention, the figures of now, and plots of the last five minutes.

import { $, arrange, make, mark, write } from "./?asset=make.js";
import { bytes, count, delay, percent, rate, span } from "./?asset=figures.js";
import { Plot, SPAN } from "./?asset=plot.js";
import { troubles } from "./?asset=troubles.js";

const perSecond = (value) => `${rate(value)}/s`;
const bytesPerSecond = (value) => `${bytes(value)}/s`;

const QUANTILES = [["median", 0.5], ["p99", 0.99]];
const quantiles = (name) => (step) => QUANTILES.map(([title, q]) => [title, step.quantile(name, q)]);
const spread = (title, name, wish) => (
  { title, needs: name, series: QUANTILES.map(([title]) => title), of: quantiles(name), ...wish });
const times = (title, name) => spread(title, name, { text: delay, floor: 0.001 });

const WAYS = ["in", "out"]; // from clients, and to them
const BEGINNINGS = [
  ["TCP", "wsgate_tcp_connections_accepted_total"],
  ["TLS", "wsgate_tls_handshakes_total"],
  ["WebSocket", "wsgate_websockets_opened_total"],
];

const words = (text) => text.replaceAll("_", " ");

/** What is plotted. `of(step, metrics)` gives pairs of a name and a value; without the histogram `needs` it is not shown. */
const PLOTS = [
  {
    title: "Open WebSockets, by route", stacked: true, floor: 5, text: count, none: "none are open",
    of: (_, metrics) => metrics.by("wsgate_websockets_open", ({ route }) => route),
  },
  {
    title: "Messages", series: WAYS, floor: 2, text: perSecond,
    of: (step) => WAYS.map((direction) => [direction, step.rate("wsgate_data_frames_total", { direction })]),
  },
  {
    title: "Payload", series: WAYS, floor: 1024, text: bytesPerSecond, binary: true,
    of: (step) => WAYS.map((direction) => [direction, step.rate("wsgate_data_bytes_total", { direction })]),
  },
  {
    title: "Coming in", series: BEGINNINGS.map(([name]) => name), floor: 2, text: perSecond,
    of: (step) => BEGINNINGS.map(([name, metric]) => [name, step.rate(metric)]),
  },
  {
    title: "Refused, by reason", stacked: true, floor: 1, text: perSecond, none: "nobody",
    of: (step) => [
      ...step.rates("wsgate_requests_refused_total", ({ reason }) => words(reason)),
      ...step.rates("wsgate_door_closed_total", ({ reason }) => `at the door: ${words(reason)}`),
      ...step.rates("wsgate_tls_handshake_failures_total", ({ reason }) => `TLS: ${words(reason)}`),
    ],
  },
  {
    title: "Closed, by code", stacked: true, floor: 1, text: perSecond, none: "none",
    of: (step) => step.rates("wsgate_websockets_ended_total", ({ by, code }) => `${code} ${by}`),
  },
  times("Way in: accept to 101", "wsgate_websocket_handshake_duration_seconds"),
  times("TLS handshake", "wsgate_tls_handshake_duration_seconds"),
  times("Connecting to backends", "wsgate_backend_connect_duration_seconds"),
  times("Backends' 101", "wsgate_backend_answer_duration_seconds"),
  times("Filter's answer", "wsgate_filter_duration_seconds"),
  times("Ping to pong, of clients", "wsgate_ping_round_trip_seconds"),
  spread("Message size", "wsgate_message_size_bytes", { text: bytes, floor: 64, binary: true }),
  {
    title: "Waiting for clients", series: ["queued"], floor: 1024, text: bytes, binary: true,
    of: (_, metrics) => [["queued", metrics.sum("wsgate_send_queue_bytes")]],
  },
  {
    title: "Processor", series: ["user and system"], floor: 0.1, text: percent,
    of: (step) => [["user and system", step.rate("process_cpu_seconds_total")]],
  },
];

const counted = (title, name, beside) => [title, (metrics) => count(metrics.sum(name)), beside];
const started = (metrics) => metrics.sum("process_start_time_seconds");

/** The figures on top: a name, what it is now, and what stands small beside it. */
const TILES = [
  ["Open", (metrics) => count(metrics.sum("wsgate_websockets_open")), (metrics) => {
    const states = ["queued", "ending", "held"].map((state) => [state, metrics.sum("wsgate_websockets_in_state", { state })]);
    return states.filter(([, value]) => value > 0).map(([state, value]) => `${count(value)} ${state}`).join(", ") || "all at ease";
  }],
  counted("On their way in", "wsgate_tcp_connections_pending", () => "no WebSocket yet"),
  counted("Opened", "wsgate_websockets_opened_total", () => "since the start"),
  counted("Refused", "wsgate_requests_refused_total", () => "since the start"),
  ["Payload", (metrics) => bytes(metrics.sum("wsgate_data_bytes_total")), () => "both ways"],
  ["Memory", (metrics) => bytes(metrics.sum("process_resident_memory_bytes")), () => "resident"],
  counted("Descriptors", "process_open_fds", (metrics) => `of ${count(metrics.sum("process_max_fds"))}`),
  ["Up", (metrics, now) => span(now / 1000 - started(metrics)), (metrics) => `since ${MOMENT.format(started(metrics) * 1000)}`],
];

const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const MOMENT = new Intl.DateTimeFormat(undefined, {
  day: "numeric", month: "short", hour: "2-digit", minute: "2-digit",
});

export class Overview {
  #looked = null; // the moment that is pointed at, or null for the last one
  #until = 0;

  constructor() {
    this.plots = PLOTS.map((wish) => ({ ...wish, plot: new Plot(wish) }));
    this.tiles = TILES.map(([name]) => {
      const [value, beside] = [make("dd"), make("dd", { class: "hint" })];
      $("tiles").append(make("div", {}, make("dt", {}, name), value, beside));
      return { value, beside };
    });
    $("plots").append(...this.plots.map(({ plot }) => plot.figure));
    this.#listen();
  }

  /** Takes a look down, whether it is shown or not. */
  note(step, metrics, at) {
    if (step === undefined) return;
    this.#until = at;
    for (const { plot, needs, of } of this.plots) {
      plot.figure.hidden = needs !== undefined && !metrics.has(`${needs}_bucket`);
      plot.push(at, step && of(step, metrics));
    }
  }

  show(metrics, at, told) {
    const found = troubles(metrics, at, told);
    const lines = found.length > 0 ? found : [["good", "All is well."]];
    const list = $("troubles");
    arrange(list, lines.map((_, i) => list.children[i] ?? make("li")));
    lines.forEach(([kind, text], i) => {
      mark(list.children[i], "data-kind", kind);
      write(list.children[i], text);
    });
    TILES.forEach(([, value, beside], i) => {
      write(this.tiles[i].value, value(metrics, at));
      write(this.tiles[i].beside, beside(metrics));
    });
    this.plots.forEach(({ plot }) => plot.draw(this.#until, this.#looked));
  }

  #look(at) {
    this.#looked = at === null ? null : Math.min(this.#until, Math.max(this.#until - SPAN, at));
    this.plots.forEach(({ plot }) => plot.tell(this.#looked));
    const words = this.#looked === null
      ? "The last five minutes. Point at a plot, or use the arrow keys, for the figures of a moment."
      : `At ${CLOCK.format(this.#looked)}, ${span((this.#until - this.#looked) / 1000)} ago.`;
    write($("plots-hint"), words);
  }

  #listen() {
    const area = $("plots");
    area.addEventListener("pointermove", ({ target, clientX }) => {
      const canvas = target.closest?.(".canvas");
      if (!canvas) return this.#look(null);
      const { left, width } = canvas.getBoundingClientRect();
      return this.#look(this.#until - SPAN * (1 - (clientX - left) / width));
    });
    area.addEventListener("pointerleave", () => this.#look(null));
    area.addEventListener("blur", () => this.#look(null));
    area.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -5000, ArrowRight: 5000, Home: -SPAN, End: SPAN }[event.key];
      if (event.key === "Escape") return this.#look(null);
      if (step === undefined) return undefined;
      event.preventDefault();
      return this.#look((this.#looked ?? this.#until) + step);
    });
  }
}
