// What an operator should look at, read from the metrics: each as a kind (grave or busy) and one line.

import { count, several, span } from "./?asset=figures.js";

const SOON = 14 * 86400; // seconds before the end of a certificate at which it is told
const FULL = 0.85; // of the descriptors

const FOUND = [
  (metrics, now, drains) => metrics.lines("wsgate_backend_usable")
    .filter(({ labels: { pool, backend }, value }) => (
      value === 0 && !drains.some((drain) => drain.pool === pool && drain.backend === backend)))
    .map(({ labels }) => ["grave", `Backend ${labels.backend} of pool ${labels.pool} gets no clients`]),
  (metrics) => metrics.lines("wsgate_pool_waiting").filter(({ value }) => value > 0).map(({ labels, value }) => (
    ["busy", `${several(value, "client")} wait for a place in pool ${labels.pool}`])),
  (metrics, now) => metrics.lines("wsgate_certificate_expiry_timestamp_seconds").flatMap(({ labels, value }) => {
    const left = value - now / 1000;
    if (left <= 0) return [["grave", `The certificate for ${labels.name} has ended`]];
    return left < SOON ? [["busy", `The certificate for ${labels.name} ends in ${span(left)}`]] : [];
  }),
  (metrics) => {
    const [used, most] = ["process_open_fds", "process_max_fds"].map((name) => metrics.sum(name));
    return most > 0 && used / most > FULL ? [["grave", `${count(used)} of ${count(most)} descriptors are in use`]] : [];
  },
  (metrics) => (metrics.has("wsgate_cluster_up") && metrics.sum("wsgate_cluster_up") === 0
    ? [["grave", "Redis does not answer: rooms are not shared"]] : []),
  (metrics) => metrics.lines("wsgate_history_failing").filter(({ value }) => value > 0).map(({ labels }) => (
    ["grave", `The history of ${labels.route} cannot be written`])),
  (metrics) => {
    const failures = metrics.sum("wsgate_tcp_accept_failures_total");
    return failures > 0 ? [["busy", `${several(failures, "connection")} could not be accepted since the start`]] : [];
  },
  (metrics) => {
    const panics = metrics.sum("wsgate_panics_total");
    return panics > 0 ? [["grave", `${several(panics, "panic")} since the start: see the log`]] : [];
  },
  (metrics) => {
    const lost = metrics.sum("wsgate_log_lines_lost_total");
    return lost > 0 ? [["busy", `${several(lost, "line")} of the log lost since the start`]] : [];
  },
];

const MOST = 12; // lines

/** All of it, what is grave first; `told` is what `/drain` says, if it was asked. */
export function troubles(metrics, now, told) {
  const drains = told?.drains ?? [];
  const drained = drains.map(({ route, backend }) => (
    ["busy", route === undefined ? `Backend ${backend} is drained` : `Route ${route} is drained`]));
  const gateway = told?.gateway ? [["grave", "The gateway is draining, and ends"]] : [];
  const found = FOUND.flatMap((find) => find(metrics, now, drains));
  const all = [...gateway, ...found, ...drained].sort(([a], [b]) => (b === "grave") - (a === "grave"));
  const more = all.length - MOST;
  return more > 0 ? [...all.slice(0, MOST), ["busy", `and ${count(more)} more`]] : all;
}
