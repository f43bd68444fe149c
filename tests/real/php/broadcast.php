<?php
declare(strict_types=1);
/*
 * A broadcaster in the shape of the small "original" class libraries: one process, ext-sockets, headers in an array,
 * frame lengths of 7, 16 and 64 bits put together by hand. Everybody but the sender gets the message.
 *
 *     php broadcast.php PORT        PORT 0: any free port
 *
 * What it gets wrong on purpose, because the servers it stands for do:
 *   - the key is looked up under its canonical name in the first 2048 bytes. When it is not there (a plain GET, a
 *     health check, garbage, lower-case names, a request in two segments) null reaches a function that wants a
 *     string, and the uncaught TypeError ends the process, with everybody in it;
 *   - a request over 2048 bytes spills over: the rest is broadcast as a message. Bytes behind the request are lost;
 *   - one frame is decoded for each read, whatever follows it in the same read is lost;
 *   - when a frame announces more than the read brought, it reads on from that client alone, blocking, until all of
 *     it is there. So a message of 70,000 bytes arrives whole however it was split behind its header, and one client
 *     that announces 2^40 bytes stops everybody until it leaves. A split inside the header gives junk;
 *   - opcodes and FIN mean nothing: pings, pongs, closes and single fragments are broadcast as text, text that is not
 *     UTF-8 too, and after a close the connection stays and keeps receiving;
 *   - writes block: one client that does not read stops everybody;
 *   - no limit on clients, lengths, rates or origins; nobody is ever pinged.
 */

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const READ_SIZE = 2048;

$listener = socket_create(AF_INET, SOCK_STREAM, SOL_TCP);
socket_set_option($listener, SOL_SOCKET, SO_REUSEADDR, 1);
if (!@socket_bind($listener, '127.0.0.1', (int) ($argv[1] ?? 0)) || !socket_listen($listener, 5)) {
    fwrite(STDERR, 'cannot listen: ' . socket_strerror(socket_last_error($listener)) . "\n");
    exit(1);
}

pcntl_async_signals(true);
pcntl_signal(SIGTERM, fn() => exit(0), false);
pcntl_signal(SIGINT, fn() => exit(0), false);

socket_getsockname($listener, $address, $port);
echo "listening $address:$port\n";
(new Broadcaster($listener))->run();

final class Broadcaster
{
    /** @var array<int, Socket> */
    private array $sockets = [];
    /** @var array<int, bool> */
    private array $welcome = [];

    public function __construct(private Socket $listener)
    {
    }

    public function run(): never
    {
        while (true) {
            $read = [$this->listener, ...array_values($this->sockets)];
            $none = null;
            if (!@socket_select($read, $none, $none, null)) {
                continue;
            }
            foreach ($read as $socket) {
                if ($socket === $this->listener) {
                    $new = socket_accept($socket);
                    $this->sockets[spl_object_id($new)] = $new;
                } else {
                    $this->serve($socket);
                }
            }
        }
    }

    private function serve(Socket $socket): void
    {
        $id = spl_object_id($socket);
        $data = $this->read($socket);
        if ($data === null) {
            $this->leave($socket);
        } elseif (!isset($this->welcome[$id])) {
            $this->welcome($socket, $data);
        } else {
            $message = $this->decode($socket, $data);
            if ($message !== null) {
                $this->toOthers($socket, $message);
            }
        }
    }

    private function read(Socket $socket): ?string
    {
        return @socket_recv($socket, $data, READ_SIZE, 0) ? $data : null;
    }

    private function leave(Socket $socket): void
    {
        unset($this->sockets[spl_object_id($socket)], $this->welcome[spl_object_id($socket)]);
        socket_close($socket);
    }

    private function welcome(Socket $socket, string $request): void
    {
        $headers = [];
        foreach (explode("\r\n", $request) as $line) {
            $parts = explode(': ', $line, 2);
            if (count($parts) === 2) {
                $headers[$parts[0]] = trim($parts[1]);
            }
        }
        $this->write($socket, "HTTP/1.1 101 Switching Protocols\r\n"
            . "Upgrade: websocket\r\n"
            . "Connection: Upgrade\r\n"
            . 'Sec-WebSocket-Accept: ' . $this->acceptFor($headers['Sec-WebSocket-Key'] ?? null) . "\r\n\r\n");
        $this->welcome[spl_object_id($socket)] = true;
    }

    private function acceptFor(string $key): string
    {
        return base64_encode(sha1($key . GUID, true));
    }

    private function decode(Socket $socket, string $data): ?string
    {
        $data = str_pad($data, 2, "\0");
        $length = ord($data[1]) & 0x7f;
        $at = 2;
        if ($length === 126) {
            $data = str_pad($data, 4, "\0");
            $length = (ord($data[2]) << 8) + ord($data[3]);
            $at = 4;
        } elseif ($length === 127) {
            $data = str_pad($data, 10, "\0");
            $length = 0;
            for ($i = 2; $i < 10; $i++) {
                $length = ($length << 8) + ord($data[$i]);
            }
            $at = 10;
        }
        while (strlen($data) < $at + 4 + $length) {
            $more = $this->read($socket);
            if ($more === null) {
                $this->leave($socket);
                return null;
            }
            $data .= $more;
        }
        $mask = substr($data, $at, 4);
        $masked = substr($data, $at + 4, $length);
        return $masked ^ str_pad('', $length, $mask);
    }

    private function toOthers(Socket $sender, string $message): void
    {
        $length = strlen($message);
        if ($length < 126) {
            $head = chr(0x81) . chr($length);
        } elseif ($length < 65536) {
            $head = chr(0x81) . chr(126) . chr($length >> 8) . chr($length & 255);
        } else {
            $head = chr(0x81) . chr(127);
            for ($shift = 56; $shift >= 0; $shift -= 8) {
                $head .= chr(($length >> $shift) & 255);
            }
        }
        foreach ($this->sockets as $id => $socket) {
            if ($socket !== $sender && isset($this->welcome[$id])) {
                $this->write($socket, $head . $message);
            }
        }
    }

    private function write(Socket $socket, string $bytes): void
    {
        @socket_write($socket, $bytes, strlen($bytes));
    }
}
