// What a page learns of a refused WebSocket: nothing, unless the route opens it to say so.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { browserClient, chromiumBrowser, configured } from './support.mjs';

let browser;
before(async () => { browser = await chromiumBrowser(); });
after(async () => { await browser?.close(); });

/** A gateway with an echo at `/` for everybody, and one at `/ws` for pages of another origin, refusing in this manner. */
async function refusing(t, manner) {
  return configured(t, `
    [tls]
    self_signed = ["localhost", "127.0.0.1"]
    [[route]]
    path = "/"
    origins = "*"
    echo = {}
    [[route]]
    path = "/ws"
    origins = ["https://other.example"]
    refuse = ${manner}
    echo = {}
  `);
}

for (const [manner, code, reason, clean] of [
  ['"http"', 1006, '', false],
  ['"close"', 1008, 'pages of this Origin are not allowed here', true],
  ['4403', 4403, 'pages of this Origin are not allowed here', true],
]) {
  test(`refuse = ${manner}: a page hears ${code} ${reason}`, async (t) => {
    const gate = await refusing(t, manner);
    const { page } = await browserClient(t, browser, gate, '/');
    for (const offer of [[], ['chat', 'superchat']]) {
      const heard = await page.evaluate((protocols) => new Promise((resolve) => {
        const socket = new WebSocket(`wss://${window.location.host}/ws`, protocols);
        let opened = false;
        socket.onopen = () => { opened = true; socket.send('hello'); };
        socket.onclose = (event) => resolve({ opened, code: event.code, reason: event.reason, clean: event.wasClean });
      }), offer);
      assert.deepEqual(heard, { opened: clean, code, reason, clean });
    }
  });
}
