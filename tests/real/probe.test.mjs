// `wsgate probe` on each PHP server: what it finds, that the proposal fits and is a configuration, and that every server
// lives on where it was probed gently.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { WSGATE, file, node, php, start, within } from './support.mjs';

const ANSWERED = /^answered by a pong/;
const MESSAGE = /^taken for a message/;
const ONE = /^1 of 2 arrive: it decodes one frame for each read/;

const SHAPES = [
  {
    file: 'fread-chat.php', profile: 'legacy', audience: /^broadcast to everybody, the sender too/, two: ONE, ping: MESSAGE,
    harsh: { title_case: /^closed/, large_messages: /^a message of 992 bytes works; one of 1016 stops the server/ }, end: 'complete',
  },
  {
    file: 'select-echo.php', profile: 'legacy', known: 'php-2048', audience: /^echo/, two: ONE, ping: MESSAGE,
    harsh: { lower_case: /^101 with a wrong/, large_messages: /^a message of 2040 bytes works/ }, end: 'complete',
  },
  {
    file: 'broadcast.php', profile: 'legacy', audience: /^broadcast to everybody but/, two: ONE, ping: MESSAGE,
    harsh: { title_case: /^closed/ }, end: 'harmed',
  },
  {
    file: 'event-loop.php', profile: 'ratchet', audience: /^broadcast to everybody but/, two: /^2 of 2 arrive/, ping: ANSWERED,
    harsh: { lower_case: /^accepted/, large_heads: /^a request head of 4096 bytes works/ }, end: 'complete',
  },
];

/** Probes it, and gives the exit code and what was reported, by experiment. */
async function probe(t, url, ...args) {
  const program = start(t, WSGATE, ['probe', url, '--json', ...args]);
  const report = JSON.parse(await within(program.next(), 'the report', 100_000));
  const { code } = await within(program.exited, 'the end of the probe');
  const verdicts = Object.fromEntries(report.steps.map(({ name, verdict }) => [name, verdict]));
  return { code, report, verdicts };
}

/** The proposal is what `wsgate check` accepts. */
async function checked(t, configuration) {
  const program = start(t, WSGATE, ['check', '--config', await file(t, 'proposed.toml', configuration)]);
  const { code } = await within(program.exited, 'the end of the check');
  assert.equal(code, 0, `${configuration}\n${program.errors}`);
}

for (const shape of SHAPES) {
  describe(`probing ${shape.file}`, () => {
    test('gently: it is known, gets its profile, and lives on', async (t) => {
      const backend = await php(t, shape.file);
      const { code, report, verdicts } = await probe(t, backend.url, '--gentle');
      assert.equal(code, 0);
      assert.match(verdicts.audience, shape.audience);
      assert.match(verdicts.two_frames, shape.two);
      assert.match(verdicts.ping, shape.ping);
      assert.equal(verdicts.lower_case, null);
      assert.deepEqual({ end: report.end, profile: report.profile }, { end: 'complete', profile: shape.profile });
      await checked(t, report.configuration);
      assert.doesNotMatch(report.configuration, /subprotocol|quickack/);
      assert.equal(backend.child.exitCode, null);
      await node(t, backend.url);
    });

    test('harshly: it says what does the harm, and still proposes', async (t) => {
      const backend = await php(t, shape.file);
      const { code, report, verdicts } = await probe(t, backend.url, '--harsh', '--time-limit', '2s');
      for (const [name, words] of Object.entries(shape.harsh)) assert.match(verdicts[name], words, name);
      assert.deepEqual({ end: report.end, profile: report.profile }, { end: shape.end, profile: shape.known ?? shape.profile });
      assert.equal(code, shape.end === 'harmed' ? 3 : 0);
      if (shape.end === 'harmed') assert.equal(report.harmed_by, 'title_case');
      await checked(t, report.configuration);
    });
  });
}

test('fread-chat.php: five for one address, and who vanishes is never counted out', async (t) => {
  const backend = await php(t, 'fread-chat.php');
  const { report, verdicts } = await probe(t, backend.url, '--gentle');
  assert.match(verdicts.one_address, /^5 connections from one address are served, the next one is not .*other addresses get in/);
  assert.match(verdicts.reset, /^5 times; then the address is shut out/);
  // the profile spreads clients over addresses of their own, so the cap of one is no cap of all
  assert.doesNotMatch(report.configuration, /connections_per_backend/);
});
