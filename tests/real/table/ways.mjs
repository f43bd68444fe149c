// The servers of the table, and the ways to them: directly, through nginx as most set it up, through wsgate.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { gateway, php, start, within } from '../support.mjs';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const CERTS = path.resolve(HERE, '../../../certs-example');
const NGINX = process.env.WSGATE_NGINX ?? '/usr/sbin/nginx';

// ---- Servers -----------------------------------------------------------------------------------

/**
 * The shapes of tests/real/php. `hearing`: who hears what one client says. `profile`: what wsgate is told about it.
 * `hook`: where a copy of the file is told to obey ORDERS: in front of this line, `heard` being what was said there
 * and `say` what tells everybody who is to hear it.
 */
export const SHAPES = {
  'fread-chat': {
    hearing: 'everyone',
    profile: 'legacy',
    hook: {
      before: "$text = htmlspecialchars($frame['payload'], ENT_QUOTES);",
      heard: "$frame['payload']",
      say: '$this->toAll($words);',
      done: 'return;',
    },
  },
  'select-echo': {
    hearing: 'sender',
    profile: 'php-2048',
    hook: {
      before: '$frame = seal(unseal($buffer));',
      heard: 'unseal($buffer)',
      say: '$frame = seal($words); @socket_write($socket, $frame, strlen($frame));',
      done: 'continue;',
    },
  },
  broadcast: {
    hearing: 'others',
    profile: 'php-2048',
    hook: {
      before: '$this->toOthers($socket, $message);',
      heard: '$message',
      say: '$this->toOthers($socket, $words);',
      done: 'return;',
    },
  },
  'event-loop': {
    hearing: 'others',
    profile: 'ratchet',
    hook: {
      before: '$frame = WsServer::frame(FrameParser::TEXT, $text);',
      heard: '$text',
      say: 'foreach ($this->rooms[$connection->request->path] as $other) {'
        + ' if ($other !== $connection) $other->write(WsServer::frame(FrameParser::TEXT, $words)); }',
      done: 'return;',
    },
  },
};

/** What the copies do when a client says so: sleep as in a slow query; send text that is none; send so many thousand bytes. */
function orders({ heard, say, done }) {
  return `if (${heard} === 'busy') { echo "busy\\n"; usleep(300000); ${done} } `
    + `if (${heard} === 'babble') { $words = "\\xff\\xfe"; ${say} ${done} } `
    + `if (sscanf(${heard}, 'flood %d', $count) === 1) { echo "flood\\n"; $words = str_repeat('x', 1000); `
    + `for ($times = 0; $times < $count; $times++) { ${say} } ${done} }\n`;
}

/** Starts a server of this shape: its file as it is, or a copy that obeys orders. */
async function serve(t, shape, folder, obedient) {
  if (!obedient) return php(t, `${shape}.php`);
  const { hook } = SHAPES[shape];
  const parts = (await readFile(path.resolve(HERE, `../php/${shape}.php`), 'utf8')).split(hook.before);
  assert.equal(parts.length, 2, `${shape}.php has one line ${hook.before}`);
  const copy = path.join(folder, `${shape}.php`);
  await writeFile(copy, parts.join(orders(hook) + hook.before));
  return php(t, copy);
}

// ---- Ways --------------------------------------------------------------------------------------

/** Each gives { connect, headers }: client number `n`'s sockets, TLS first; and the headers that tell its address. */
export const WAYS = {
  directly: async (_, { server }) => ({
    connect: (n) => [net.connect({ host: '127.0.0.1', port: server.port, localAddress: `127.0.7.${n}` })],
    headers: () => ({}),
  }),
  nginx: async (t, { server, folder }) => {
    const door = await nginx(t, server.port, folder);
    return {
      connect: () => secure(net.connect({ path: door })),
      headers: forwarded,
    };
  },
  wsgate: async (t, { server, shape, folder }) => {
    const file = path.join(folder, 'wsgate.toml');
    await writeFile(file, 'trusted_proxies = ["loopback"]\n[tls]\nself_signed = ["localhost"]\n');
    const gate = await gateway(t, ['--config', file, '--to', server.url, '--profile', SHAPES[shape].profile]);
    return {
      connect: () => secure(net.connect({ host: '127.0.0.1', port: gate.port })),
      headers: forwarded,
    };
  },
};

function secure(socket) {
  return [tls.connect({ socket, rejectUnauthorized: false }), socket];
}

/** As a proxy in front would put it. */
function forwarded(n) {
  return { 'X-Forwarded-For': `203.0.113.${n}` };
}

/** nginx with the recipe that its documentation has for WebSockets, at a socket in `folder`. */
async function nginx(t, port, folder) {
  const door = path.join(folder, 'nginx.sock');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${folder}/${kind};`).join('\n');
  await writeFile(path.join(folder, 'nginx.conf'), `
daemon off;
worker_processes 1;
error_log stderr notice;
pid ${folder}/nginx.pid;
events {}
http {
  access_log off;
  ${temporary}
  server {
    listen unix:${door} ssl;
    ssl_certificate ${CERTS}/localhost.pem;
    ssl_certificate_key ${CERTS}/localhost.key;
    location / {
      proxy_pass http://127.0.0.1:${port};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
    }
  }
}
`);
  const program = start(t, NGINX, ['-e', 'stderr', '-p', folder, '-c', path.join(folder, 'nginx.conf')]);
  program.name = 'nginx';
  const told = async () => {
    // Its socket takes connections before it starts who serves them.
    while (!program.errors.includes('start worker process')) await once(program.child.stderr, 'data');
  };
  const ended = program.exited.then(() => assert.fail(`nginx ended:\n${program.errors}`));
  ended.catch(() => {}); // as it does after the test
  await within(Promise.race([told(), ended]), 'nginx to start');
  return door;
}

/** A server of this shape, and this way to it: { server, connect, headers }. */
export async function open(t, { shape, way, obedient }) {
  const folder = await mkdtemp(path.join(tmpdir(), 'wsgate-table-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const server = await serve(t, shape, folder, obedient);
  return { server, ...(await WAYS[way](t, { server, shape, folder })) };
}

/** How many connections the server at this port has not closed yet. */
export async function connectionsAt(port) {
  const [LISTEN, local, state, inode] = ['0A', 1, 3, 9];
  const end = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const rows = (await readFile('/proc/net/tcp', 'utf8')).trim().split('\n').slice(1).map((row) => row.trim().split(/\s+/));
  return rows.filter((row) => row[local].endsWith(end) && row[state] !== LISTEN && row[inode] !== '0').length;
}
