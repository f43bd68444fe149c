// A chat on Node's `ws` behind its own TLS, at its best: no compression, no log, and each text is made ready once for all.
'use strict';
const { readFileSync } = require('node:fs');
const { createServer } = require('node:https');
const { WebSocket, WebSocketServer } = require('@WS@');

const ESCAPES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

const web = createServer({
  cert: readFileSync('@CHAIN@'),
  key: readFileSync('@KEY@'),
  minVersion: 'TLSv1.3',
});
const chat = new WebSocketServer({ server: web, perMessageDeflate: false });
let number = 0;

chat.on('connection', (member) => {
  const author = `User #${number += 1}: `;
  member.on('error', () => {});
  member.on('message', (data, isBinary) => {
    if (isBinary) {
      member.close(1003);
      return;
    }
    const text = Buffer.from(author + data.toString().replace(/[&<>"']/g, (letter) => ESCAPES[letter]));
    for (const other of chat.clients) {
      if (other.readyState === WebSocket.OPEN) other.send(text, { binary: false });
    }
  });
});
web.listen(@PORT@, '127.0.0.1', 4096);
