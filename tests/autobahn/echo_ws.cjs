// Echo server on a free port with Node's `ws`: prints `listening URL`.
// Argument: the directory that holds node_modules. No compression.
'use strict';
const path = require('path');
const { WebSocketServer } = require(path.join(process.argv[2], 'node_modules', 'ws'));

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: 0,
  perMessageDeflate: false,
  maxPayload: 64 * 1024 * 1024,
  skipUTF8Validation: false,
}, () => console.log(`listening ws://127.0.0.1:${server.address().port}`));

server.on('connection', (socket) => {
  socket.on('error', () => {}); // `ws` closes the connection by itself
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
