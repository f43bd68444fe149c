<?php
/*
 * An echo server in the shape of the most copied beginner's tutorial: one process, ext-sockets, socket_select() and
 * socket_recv($client, $buffer, 2048).
 *
 *     php select-echo.php PORT        PORT 0: any free port
 *
 * What it gets wrong on purpose, because the servers it stands for do:
 *   - the key is cut out of the first read by a case-sensitive regular expression. When it is not found the server
 *     still answers 101, with the accept value of an empty key, and keeps whoever that was as a client: a browser's
 *     plain GET, a port scanner, a proxy that writes header names in lower case;
 *   - a request over 2048 bytes spills over: the rest is taken for a frame. Bytes behind the request are lost;
 *   - each read is one message. The length in the header only tells where the mask lies; everything up to the end of
 *     the read is unmasked and sent back. Two frames in one read come back as one, with garbage behind the first; a
 *     message over 2040 bytes, or in two reads, comes back in pieces of which only the first is legible;
 *   - opcodes and FIN mean nothing: a ping, a pong, a binary frame or one fragment each comes back as a text message.
 *     Only the close is known, and answered with nothing: the connection stays;
 *   - no limit on clients, lengths, rates or origins; nobody is ever pinged.
 * One kindness the originals lack: it waits in select() instead of asking every ten microseconds.
 */

$server = socket_create(AF_INET, SOCK_STREAM, SOL_TCP);
socket_set_option($server, SOL_SOCKET, SO_REUSEADDR, 1);
if (!@socket_bind($server, '127.0.0.1', (int) ($argv[1] ?? 0)) || !socket_listen($server, 20)) {
    fwrite(STDERR, 'cannot listen: ' . socket_strerror(socket_last_error($server)) . "\n");
    exit(1);
}

pcntl_async_signals(true);
pcntl_signal(SIGTERM, fn() => exit(0), false);
pcntl_signal(SIGINT, fn() => exit(0), false);

socket_getsockname($server, $address, $port);
echo "listening $address:$port\n";

$clients = [];
$shaken = [];
while (true) {
    $changed = [$server, ...array_values($clients)];
    $none = null;
    if (!@socket_select($changed, $none, $none, null)) {
        continue;
    }
    foreach ($changed as $socket) {
        if ($socket === $server) {
            $new = socket_accept($server);
            $clients[spl_object_id($new)] = $new;
            continue;
        }
        $id = spl_object_id($socket);
        $bytes = @socket_recv($socket, $buffer, 2048, 0);
        if (!$bytes) {
            unset($clients[$id], $shaken[$id]);
            socket_close($socket);
        } elseif (!isset($shaken[$id])) {
            shake_hands($socket, $buffer);
            $shaken[$id] = true;
        } elseif (strlen($buffer) >= 2 && (ord($buffer[0]) & 0x0f) !== 8) {
            $frame = seal(unseal($buffer));
            @socket_write($socket, $frame, strlen($frame));
        }
    }
}

function shake_hands(Socket $socket, string $request): void
{
    $key = preg_match("/Sec-WebSocket-Key: (.*)\r\n/", $request, $found) ? $found[1] : '';
    $accept = base64_encode(sha1($key . '258EAFA5-E914-47DA-95CA-C5AB0DC85B11', true));
    $host = preg_match("/Host: (.*)\r\n/", $request, $found) ? $found[1] : '';
    $answer = "HTTP/1.1 101 Web Socket Protocol Handshake\r\n"
        . "Upgrade: websocket\r\n"
        . "Connection: Upgrade\r\n"
        . "WebSocket-Origin: $host\r\n"
        . "Sec-WebSocket-Accept: $accept\r\n\r\n";
    @socket_write($socket, $answer, strlen($answer));
}

function unseal(string $data): string
{
    $length = ord($data[1]) & 127;
    $at = match ($length) {
        126 => 4,
        127 => 10,
        default => 2,
    };
    $mask = str_pad(substr($data, $at, 4), 4, "\0");
    $text = substr($data, $at + 4);
    for ($i = 0; $i < strlen($text); $i++) {
        $text[$i] = $text[$i] ^ $mask[$i % 4];
    }
    return $text;
}

function seal(string $text): string
{
    $length = strlen($text);
    if ($length <= 125) {
        return pack('CC', 0x81, $length) . $text;
    }
    return ($length < 65536 ? pack('CCn', 0x81, 126, $length) : pack('CCJ', 0x81, 127, $length)) . $text;
}
