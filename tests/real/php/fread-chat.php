<?php
/*
 * A chat as the well known "WebSocket server in plain PHP" articles of the 2010s build it: a master process,
 * worker processes that accept on one shared socket, stream_select() and fread($client, 1000).
 *
 *     php fread-chat.php PORT [WORKERS]        PORT 0: any free port; WORKERS: 1 unless said
 *
 * What it gets wrong on purpose, because the servers it stands for do:
 *   - at most 5 connections from one address, counted in each worker; one more is closed before any byte. A client
 *     that leaves by RST is never counted out, because its address can no longer be asked for;
 *   - the request must come in one read, with header names in exactly the canonical case and one space after the
 *     colon; anything else is closed without an answer. Method, version, Upgrade and Origin are not looked at;
 *   - bytes behind the request are lost;
 *   - one frame is decoded for each read of 1000 bytes, what follows it is lost; a frame in two reads is lost;
 *   - a longer frame leaves a remainder in PHP's own buffer, and the next fread() on the blocking stream then waits
 *     for that one client: nobody else is served until it sends or leaves. 992 bytes of text still fit;
 *   - fragments: the first piece is taken for a message, the others are lost;
 *   - ping and pong are published as chat text, a close is ignored: the connection stays and keeps receiving;
 *   - binary is sent on as text; text that is not UTF-8, or that is "0", vanishes;
 *   - a client that does not read misses messages silently. Nobody is ever pinged.
 * One kindness the originals lack: when a worker dies the master ends, instead of spinning.
 */

const CONNECTIONS_PER_ADDRESS = 5;
const READ_SIZE = 1000;
const TYPES = [1 => 'text', 2 => 'binary', 8 => 'close', 9 => 'ping', 10 => 'pong'];

[$port, $workers] = [(int) ($argv[1] ?? 0), (int) ($argv[2] ?? 1)];
$server = stream_socket_server("tcp://127.0.0.1:$port", $code, $why);
if (!$server) {
    fwrite(STDERR, "cannot listen: $why\n");
    exit(1);
}
stream_set_blocking($server, false); // two workers may wake for one connection

$pipes = [];
$children = [];
for ($i = 0; $i < $workers; $i++) {
    [$mine, $theirs] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
    $pid = pcntl_fork();
    if ($pid === 0) {
        array_map('fclose', [...$pipes, $mine]);
        (new Worker($server, $theirs))->run();
        exit(0);
    }
    fclose($theirs);
    $pipes[] = $mine;
    $children[] = $pid;
}

$stop = function (int $status) use (&$children): never {
    foreach ($children as $pid) {
        posix_kill($pid, SIGTERM);
    }
    foreach ($children as $pid) {
        pcntl_waitpid($pid, $unused);
    }
    exit($status);
};
pcntl_async_signals(true);
pcntl_signal(SIGTERM, fn() => $stop(0));
pcntl_signal(SIGINT, fn() => $stop(0));

echo 'listening ', stream_socket_get_name($server, false), "\n";
fclose($server);

// The master only carries what one worker heard to all the others.
while (true) {
    $read = $pipes;
    $none = null;
    if (!@stream_select($read, $none, $none, null)) {
        continue;
    }
    foreach ($read as $from) {
        $line = fgets($from);
        if ($line === false) {
            $stop(1);
        }
        foreach ($pipes as $pipe) {
            if ($pipe !== $from) {
                fwrite($pipe, $line);
            }
        }
    }
}

class Worker
{
    private array $clients = [];
    private array $greeted = [];
    private array $perAddress = [];

    public function __construct(private $server, private $master)
    {
    }

    public function run(): void
    {
        while (true) {
            $read = [$this->server, $this->master, ...array_values($this->clients)];
            $none = null;
            if (!stream_select($read, $none, $none, null)) {
                continue;
            }
            foreach ($read as $ready) {
                if ($ready === $this->server) {
                    $this->accept();
                } elseif ($ready === $this->master) {
                    $line = fgets($ready);
                    if ($line === false) {
                        return;
                    }
                    $this->toAll(json_decode($line));
                } elseif (isset($this->greeted[(int) $ready])) {
                    $this->listen($ready);
                } else {
                    $this->greet($ready);
                }
            }
        }
    }

    private function accept(): void
    {
        $client = @stream_socket_accept($this->server, 0);
        if (!$client) {
            return; // another worker was faster
        }
        $address = $this->address($client);
        $open = $this->perAddress[$address] ?? 0;
        if ($open >= CONNECTIONS_PER_ADDRESS) {
            fclose($client);
            return;
        }
        $this->perAddress[$address] = $open + 1;
        $this->clients[(int) $client] = $client;
    }

    private function greet($client): void
    {
        $head = fread($client, 10000);
        if (!preg_match('/Sec-WebSocket-Key: (.*)\r\n/', (string) $head, $found)) {
            $this->forget($client);
            return;
        }
        $accept = base64_encode(sha1($found[1] . '258EAFA5-E914-47DA-95CA-C5AB0DC85B11', true));
        fwrite($client, "HTTP/1.1 101 Web Socket Protocol Handshake\r\n"
            . "Upgrade: websocket\r\n"
            . "Connection: Upgrade\r\n"
            . "Sec-WebSocket-Accept: $accept\r\n\r\n");
        $this->greeted[(int) $client] = true;
    }

    private function listen($client): void
    {
        $data = fread($client, READ_SIZE);
        if (!$data) {
            $this->forget($client);
            return;
        }
        $frame = $this->decode($data);
        if (!$frame || $frame['type'] === 'close') {
            return;
        }
        $text = htmlspecialchars($frame['payload'], ENT_QUOTES);
        if (!$text) {
            return;
        }
        $text = 'User #' . (int) $client . ": $text";
        fwrite($this->master, json_encode($text) . "\n");
        $this->toAll($text);
    }

    private function toAll(string $text): void
    {
        $frame = $this->encode($text);
        foreach (array_intersect_key($this->clients, $this->greeted) as $client) {
            $write = [$client];
            $none = null;
            if (stream_select($none, $write, $none, 0)) {
                @fwrite($client, $frame);
            }
        }
    }

    private function forget($client): void
    {
        $address = $this->address($client);
        $this->perAddress[$address] = ($this->perAddress[$address] ?? 0) - 1;
        unset($this->clients[(int) $client], $this->greeted[(int) $client]);
        fclose($client);
    }

    private function address($client): string
    {
        $name = (string) @stream_socket_get_name($client, true);
        return explode(':', $name)[0];
    }

    private function decode(string $data): ?array
    {
        if (strlen($data) < 6) {
            return null;
        }
        $type = TYPES[ord($data[0]) & 0x0f] ?? null;
        $masked = ord($data[1]) & 0x80;
        if (!$type || !$masked) {
            return null;
        }
        $length = ord($data[1]) & 0x7f;
        $at = 2;
        if ($length === 126) {
            $length = unpack('n', $data, 2)[1];
            $at = 4;
        } elseif ($length === 127) {
            $length = unpack('J', str_pad($data, 10), 2)[1];
            $at = 10;
        }
        if (strlen($data) < $at + 4 + $length) {
            return null; // it waits for the rest, but never puts the two together
        }
        $mask = substr($data, $at, 4);
        $payload = substr($data, $at + 4, $length);
        for ($i = 0; $i < $length; $i++) {
            $payload[$i] = $payload[$i] ^ $mask[$i % 4];
        }
        return ['type' => $type, 'payload' => $payload];
    }

    private function encode(string $text): string
    {
        $length = strlen($text);
        if ($length < 126) {
            return "\x81" . chr($length) . $text;
        }
        return "\x81" . ($length < 65536 ? chr(126) . pack('n', $length) : chr(127) . pack('J', $length)) . $text;
    }
}
