// Figures as people read them: counts, bytes, times. Units stand behind a narrow space, and digits keep their width.

const PLAIN = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** With three digits that count, and no zeros behind the point. */
const three = (value) => String(Number(value >= 100 ? value.toFixed(0) : value.toPrecision(3)));

/** `9012` is "9,012", `1234567` "1.23 M". */
export function count(value) {
  if (!Number.isFinite(value)) return "–";
  if (Math.abs(value) < 100_000) return PLAIN.format(value);
  const [size, unit] = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]].find(([size]) => Math.abs(value) >= size);
  return `${three(value / size)} ${unit}`;
}

/** Of something a second: small ones have a fraction. */
export function rate(value) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  if (value < 0.05) return "<0.1";
  return value < 99.5 ? String(Number(value.toFixed(1))) : count(Math.round(value));
}

/** Powers of 1024. */
export function bytes(value) {
  if (!Number.isFinite(value)) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  let left = value;
  for (; left >= 999.5 && at < units.length - 1; at += 1) left /= 1024;
  return `${at === 0 ? Math.round(left) : three(left)} ${units[at]}`;
}

/** A short time, such as an answer takes: "340 µs", "2.1 ms", "1.2 s". */
export function delay(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const [size, unit] = [[1, "s"], [1e-3, "ms"]].find(([size]) => seconds >= size) ?? [1e-6, "µs"];
  return `${three(seconds / size)} ${unit}`;
}

/** A long time, such as something is open: "12 s", "3 min 20 s", "2 h 5 min", "3 d 4 h". */
export function span(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const whole = Math.max(0, Math.floor(seconds));
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = units.findIndex(([size]) => whole >= size);
  if (at === -1) return seconds > 0 ? "<1 s" : "0 s";
  const part = ([size, unit], of) => `${Math.floor(of / size)} ${unit}`;
  const rest = whole % units[at][0];
  const next = units[at + 1];
  return next && rest >= next[0] ? `${part(units[at], whole)} ${part(next, rest)}` : part(units[at], whole);
}

export const percent = (part) => (Number.isFinite(part) ? `${three(part * 100)} %` : "–");

/** `1 connection`, `2 connections`. */
export const several = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

/** For titles and labels, which are one line: without characters that are not seen, or turn the line around. */
export const oneLine = (text) => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, " ").trim();
