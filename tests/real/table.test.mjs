// Holds the table of what hand-written PHP servers bear: each cell of table.json is measured anew. Directly and through
// nginx a cell shows what goes wrong; through wsgate it has to be right, or a refusal that says why.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { TABLE, allowed, cells, fits, markdown, patience } from './table.mjs';
import { CONDITIONS, verdict } from './table/conditions.mjs';

/**
 * The cells of wsgate that are not right, by shape and condition, and what each waits for: none. When one has come, its
 * test fails here: record the table anew and take the line out.
 */
const WAITS = {};

const named = ({ condition, shape }) => `${shape}: ${condition}`;

/** Whether a client is better off with this verdict than without the gateway: all is well, or it is told why not. */
function sound(condition, verdicts) {
  const refusals = (CONDITIONS[condition].fair ?? []).map((code) => `refused ${code}`);
  return verdicts.every((one) => one === 'right' || refusals.includes(one));
}

const all = await cells();

test('every cell of wsgate is right or says why not, but for those that wait', () => {
  const unsound = all.filter((cell) => cell.way === 'wsgate' && !sound(cell.condition, allowed(cell)));
  assert.deepEqual(unsound.map(named).sort(), Object.keys(WAITS).sort());
});

test('the table has these conditions and no others, and the README shows it as it is', async () => {
  assert.deepEqual(Object.keys(TABLE), Object.keys(CONDITIONS));
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  assert.ok(readme.includes(`\n${markdown()}\n`), 'put the output of `node tests/real/table.mjs --markdown` there');
});

for (const condition of Object.keys(CONDITIONS)) {
  describe(condition, { concurrency: 6 }, () => {
    for (const cell of all.filter((one) => one.condition === condition)) {
      test(`${cell.shape}, ${cell.way}: ${allowed(cell).join(' or ')}`, async (t) => {
        const got = await verdict(t, { ...cell, patience: patience(allowed(cell)) });
        assert.ok(fits(got, allowed(cell)), `${got}, not ${allowed(cell).join(' or ')}`);
      });
    }
  });
}
