// The table of what hand-written PHP servers bear: what each does when clients do this or that to it, directly, through
// nginx, and through wsgate. table.json holds it, table.test.mjs holds it true, and the README shows it.
//
//   node table.mjs --markdown        the table for the README
//   node table.mjs PART              measures the cells with PART in their name, such as "ping", "wsgate" or "ping, nginx"
//   node table.mjs --record N PART   measures them N times, and writes every verdict that came into table.json

import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const FILE = path.join(HERE, 'table.json');

/** By condition, way and shape: the verdict, or the list of those that may come. */
export const TABLE = JSON.parse(readFileSync(FILE, 'utf8'));
export const LETTERS = { 'fread-chat': 'a', 'select-echo': 'b', broadcast: 'c', 'event-loop': 'd' };
const TITLES = { directly: 'directly', nginx: 'through nginx', wsgate: 'through wsgate' };

/** The verdicts that a cell may come to; a `*` in one stands for any number. */
export function allowed({ condition, way, shape }) {
  return [TABLE[condition]?.[way]?.[shape] ?? []].flat();
}

/** Whether this verdict is one of these. */
export function fits(verdict, verdicts) {
  return verdicts.includes(verdict) || verdicts.includes(verdict.replace(/\d+(?= of)/, '*'));
}

/** Verdicts that some event leads to; for the others one has to wait for what never comes. */
const TOLD = /^(right|refused|closed|server down|let in|wrong accept)/;

/** How long to wait for what may never come, in milliseconds: where all is told, so long that no slow machine fails. */
export function patience(verdicts) {
  return verdicts.every((one) => TOLD.test(one)) ? 15_000 : 1500;
}

/** The README's table. */
export function markdown() {
  const rows = Object.entries(TABLE).map(([condition, ways]) => {
    const cells = Object.keys(TITLES).map((way) => summary(ways[way]));
    return `| ${[condition, ...cells].join(' | ')} |`;
  });
  return [`| what clients do | ${Object.values(TITLES).join(' | ')} |`, '|---|---|---|---|', ...rows].join('\n');
}

/** The verdicts of one way, each with the servers that it is about; alone where it is the same for all. */
function summary(shapes) {
  const groups = new Map();
  for (const [shape, letter] of Object.entries(LETTERS)) {
    const words = [shapes[shape]].flat().map((one) => one.replace('*', 'some')).join(' or ');
    groups.set(words, [...(groups.get(words) ?? []), letter]);
  }
  if (groups.size === 1) return [...groups.keys()][0];
  return [...groups].map(([words, letters]) => `${letters.join(', ')}: ${words}`).join('; ');
}

// ---- Measuring ---------------------------------------------------------------------------------

/** Runs a cell as a test would, but without one. */
async function measure(cell, limit) {
  const { verdict } = await import('./table/conditions.mjs');
  const after = [];
  try {
    return await verdict({ after: (end) => { after.push(end); } }, { ...cell, patience: limit });
  } catch (error) {
    return `error: ${error.message}`;
  } finally {
    for (const end of after) await end();
  }
}

const nameOf = ({ condition, way, shape }) => `${condition}, ${way}, ${shape}`;

/** Every cell that has `part` in its name. */
export async function cells(part = '') {
  const { CONDITIONS } = await import('./table/conditions.mjs');
  return Object.keys(CONDITIONS).flatMap((condition) => Object.keys(TITLES).flatMap((way) =>
    Object.keys(LETTERS).map((shape) => ({ condition, way, shape })))).filter((cell) => nameOf(cell).includes(part));
}

/** Measures all of these, some at a time. */
async function measured(list, done) {
  const rest = [...list];
  const worker = async () => {
    for (let cell = rest.shift(); cell; cell = rest.shift()) {
      const begin = Date.now();
      done(cell, await measure(cell, 2500), (Date.now() - begin) / 1000);
    }
  };
  await Promise.all(Array.from({ length: 6 }, worker));
}

async function record(times, part) {
  const seen = new Map();
  const list = (await cells(part)).flatMap((cell) => Array(times).fill(cell));
  await measured(list, (cell, verdict) => {
    if (verdict.startsWith('error')) console.error(nameOf(cell), verdict);
    const known = seen.get(nameOf(cell)) ?? new Set();
    seen.set(nameOf(cell), known.add(verdict.replace(/\d+(?= of 100)/, '*')));
  });
  const table = {};
  for (const cell of await cells()) {
    const verdicts = [...seen.get(nameOf(cell)) ?? allowed(cell)].sort();
    ((table[cell.condition] ??= {})[cell.way] ??= {})[cell.shape] = verdicts.length > 1 ? verdicts : verdicts[0];
  }
  writeFileSync(FILE, `${JSON.stringify(table, null, 2)}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [order, times, part] = process.argv.slice(2);
  if (order === '--markdown') console.log(markdown());
  else if (order === '--record') await record(Number(times ?? 3), part);
  else await measured(await cells(order), (cell, verdict, seconds) => {
    console.log(`${nameOf(cell)}: ${verdict} (${seconds.toFixed(1)} s)`);
  });
}
