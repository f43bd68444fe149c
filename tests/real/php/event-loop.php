<?php
declare(strict_types=1);
/*
 * A chat with rooms on an event loop, layered as Ratchet layers it: Loop → HttpServer → WsServer → Rooms, each
 * knowing only the one above it. The most correct of the four shapes; what it keeps of its model:
 *
 *     php event-loop.php PORT        PORT 0: any free port
 *
 *   - a request head may have 4096 bytes; 413 beyond. Header names in any case, any segmentation;
 *   - a request that is not a sound upgrade is refused (405, 505, 400, 426), and one that offers a subprotocol is
 *     refused with 426, because the application names none;
 *   - the application greets from onOpen: the 101 and the first message leave in one write;
 *   - bytes that came behind the request are lost;
 *   - frames: any segmentation, fragments with control frames in between, ping answered, close echoed, 1002 for a frame
 *     without mask, a reserved bit, an unknown opcode, a bad control frame, a length that is not minimal, a stray
 *     continuation; 1007 for text that is not UTF-8;
 *   - the application sends binary on as text, to everybody else in the room, valid or not;
 *   - what a slow client does not read is held in memory without limit; nobody is ever pinged; any Origin may come in.
 */

/** What a layer is told about a connection. */
interface Component
{
    public function onOpen(Connection $connection): void;
    public function onData(Connection $connection, string $bytes): void;
    public function onClose(Connection $connection): void;
}

/** What the application is told, once all framing is gone. */
interface Application
{
    public function onJoin(Connection $connection): void;
    public function onText(Connection $connection, string $text): void;
    public function onLeave(Connection $connection): void;
}

/** One client: its socket, what waits to be written, and what the layers remember about it. */
final class Connection
{
    public string $out = '';
    public bool $ending = false;
    public string $head = '';
    public ?Request $request = null;
    public ?FrameParser $frames = null;

    public function __construct(public readonly mixed $stream)
    {
    }

    public function write(string $bytes): void
    {
        if (!$this->ending) {
            $this->out .= $bytes;
        }
    }

    /** Ends the connection once everything written before has gone. */
    public function end(string $last = ''): void
    {
        $this->write($last);
        $this->ending = true;
    }
}

/** The only part that touches sockets. */
final class Loop
{
    private mixed $server;
    private bool $running = true;
    /** @var array<int, Connection> */
    private array $connections = [];

    public function __construct(int $port, private Component $component)
    {
        $server = @stream_socket_server("tcp://127.0.0.1:$port", $code, $why);
        if (!$server) {
            fwrite(STDERR, "cannot listen: $why\n");
            exit(1);
        }
        stream_set_blocking($server, false);
        $this->server = $server;
    }

    public function address(): string
    {
        return stream_socket_get_name($this->server, false);
    }

    public function stop(): void
    {
        $this->running = false;
    }

    public function run(): void
    {
        while ($this->running) {
            $read = [$this->server];
            $write = [];
            foreach ($this->connections as $connection) {
                $read[] = $connection->stream;
                if ($connection->out !== '') {
                    $write[] = $connection->stream;
                }
            }
            $none = null;
            if (!@stream_select($read, $write, $none, null)) {
                continue;
            }
            foreach ($read as $stream) {
                $stream === $this->server ? $this->accept() : $this->receive($stream);
            }
            foreach ($this->connections as $connection) {
                $this->flush($connection);
            }
        }
    }

    private function accept(): void
    {
        $stream = @stream_socket_accept($this->server, 0);
        if ($stream) {
            stream_set_blocking($stream, false);
            stream_set_read_buffer($stream, 0);
            $connection = new Connection($stream);
            $this->connections[(int) $stream] = $connection;
            $this->component->onOpen($connection);
        }
    }

    private function receive(mixed $stream): void
    {
        $connection = $this->connections[(int) $stream];
        $bytes = @fread($stream, 65536);
        if ($bytes !== '' && $bytes !== false) {
            if (!$connection->ending) {
                $this->component->onData($connection, $bytes);
            }
        } elseif (feof($stream)) {
            $this->drop($connection);
        }
    }

    private function flush(Connection $connection): void
    {
        if ($connection->out !== '') {
            $sent = @fwrite($connection->stream, $connection->out);
            if ($sent === false) {
                $this->drop($connection);
                return;
            }
            $connection->out = substr($connection->out, $sent);
        }
        if ($connection->ending && $connection->out === '') {
            $this->drop($connection);
        }
    }

    private function drop(Connection $connection): void
    {
        unset($this->connections[(int) $connection->stream]);
        fclose($connection->stream);
        $this->component->onClose($connection);
    }
}

/** A parsed request head. */
final class Request
{
    /** @param array<string, string> $headers by lower-case name */
    private function __construct(
        public readonly string $method,
        public readonly string $path,
        public readonly string $version,
        private array $headers,
    ) {
    }

    public static function parse(string $head): ?self
    {
        $lines = explode("\r\n", $head);
        if (!preg_match('~^([A-Z]+) (\S+) HTTP/(\d\.\d)$~', array_shift($lines), $start)) {
            return null;
        }
        $headers = [];
        foreach ($lines as $line) {
            [$name, $value] = explode(':', $line, 2) + [1 => ''];
            $name = strtolower(trim($name));
            $headers[$name] = isset($headers[$name]) ? $headers[$name] . ', ' . trim($value) : trim($value);
        }
        return new self($start[1], explode('?', $start[2])[0], $start[3], $headers);
    }

    public function header(string $name): string
    {
        return $this->headers[$name] ?? '';
    }

    public function hasToken(string $name, string $token): bool
    {
        return in_array($token, array_map('trim', explode(',', strtolower($this->header($name)))), true);
    }
}

/** Collects the request head, then hands the connection on. */
final class HttpServer implements Component
{
    private const HEAD_LIMIT = 4096;

    public function __construct(private WsServer $upgraded)
    {
    }

    public function onOpen(Connection $connection): void
    {
    }

    public function onData(Connection $connection, string $bytes): void
    {
        if ($connection->request) {
            $this->upgraded->onData($connection, $bytes);
            return;
        }
        $connection->head .= $bytes;
        if (strlen($connection->head) > self::HEAD_LIMIT) {
            self::refuse($connection, 413, 'Request Entity Too Large');
            return;
        }
        $end = strpos($connection->head, "\r\n\r\n");
        if ($end === false) {
            return;
        }
        $request = Request::parse(substr($connection->head, 0, $end));
        $connection->head = '';
        if (!$request) {
            self::refuse($connection, 400, 'Bad Request');
            return;
        }
        $connection->request = $request;
        $this->upgraded->onOpen($connection);
    }

    public function onClose(Connection $connection): void
    {
        if ($connection->request) {
            $this->upgraded->onClose($connection);
        }
    }

    public static function refuse(Connection $connection, int $status, string $reason, string $headers = ''): void
    {
        $connection->end("HTTP/1.1 $status $reason\r\nX-Powered-By: event-loop.php\r\n$headers\r\n");
    }
}

/** Upgrades a request and turns frames into messages. */
final class WsServer implements Component
{
    private const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

    public function __construct(private Application $application)
    {
    }

    public function onOpen(Connection $connection): void
    {
        $request = $connection->request;
        $fault = $this->faultIn($request);
        if ($fault) {
            HttpServer::refuse($connection, ...$fault);
            return;
        }
        $accept = base64_encode(sha1($request->header('sec-websocket-key') . self::GUID, true));
        $connection->write("HTTP/1.1 101 Switching Protocols\r\n"
            . "Upgrade: websocket\r\n"
            . "Connection: Upgrade\r\n"
            . "Sec-WebSocket-Accept: $accept\r\n"
            . "X-Powered-By: event-loop.php\r\n\r\n");
        $connection->frames = new FrameParser();
        $this->application->onJoin($connection);
    }

    /** @return ?array{int, string, string} */
    private function faultIn(Request $request): ?array
    {
        return match (true) {
            $request->method !== 'GET' => [405, 'Method Not Allowed', "Allow: GET\r\n"],
            $request->version !== '1.1' => [505, 'HTTP Version Not Supported', ''],
            $request->header('host') === '' => [400, 'Bad Request', ''],
            !$request->hasToken('upgrade', 'websocket') => [426, 'Upgrade Required', "Upgrade: websocket\r\n"],
            !$request->hasToken('connection', 'upgrade') => [400, 'Bad Request', ''],
            strlen((string) base64_decode($request->header('sec-websocket-key'), true)) !== 16 => [400, 'Bad Request', ''],
            $request->header('sec-websocket-version') !== '13' =>
                [426, 'Upgrade Required', "Sec-WebSocket-Version: 13\r\n"],
            $request->header('sec-websocket-protocol') !== '' =>
                [426, 'No Subprotocols Supported', "Upgrade: websocket\r\n"],
            default => null,
        };
    }

    public function onData(Connection $connection, string $bytes): void
    {
        $parser = $connection->frames;
        if (!$parser) {
            return;
        }
        try {
            foreach ($parser->feed($bytes) as [$opcode, $payload]) {
                match ($opcode) {
                    FrameParser::CLOSE => $connection->end(self::frame(FrameParser::CLOSE, $payload)),
                    FrameParser::PING => $connection->write(self::frame(FrameParser::PONG, $payload)),
                    FrameParser::PONG => null,
                    default => $this->application->onText($connection, $payload),
                };
                if ($connection->ending) {
                    return;
                }
            }
        } catch (ProtocolFault $fault) {
            $connection->end(self::frame(FrameParser::CLOSE, pack('n', $fault->getCode()) . $fault->getMessage()));
        }
    }

    public function onClose(Connection $connection): void
    {
        if ($connection->frames) {
            $this->application->onLeave($connection);
        }
    }

    public static function frame(int $opcode, string $payload): string
    {
        $length = strlen($payload);
        $size = match (true) {
            $length < 126 => pack('C', $length),
            $length < 65536 => pack('Cn', 126, $length),
            default => pack('CJ', 127, $length),
        };
        return chr(0x80 | $opcode) . $size . $payload;
    }
}

/** Carries the close code its client is to be told. */
final class ProtocolFault extends Exception
{
}

/** Takes bytes as they come, gives whole messages and control frames. */
final class FrameParser
{
    public const CONTINUATION = 0;
    public const TEXT = 1;
    public const BINARY = 2;
    public const CLOSE = 8;
    public const PING = 9;
    public const PONG = 10;

    private string $buffer = '';
    private ?int $kind = null;
    private string $message = '';

    /** @return Generator<array{int, string}> opcode and payload of each thing that became complete */
    public function feed(string $bytes): Generator
    {
        $this->buffer .= $bytes;
        while ($frame = $this->next()) {
            [$final, $opcode, $payload] = $frame;
            if ($opcode >= self::CLOSE) {
                yield [$opcode, $opcode === self::CLOSE ? $this->soundClose($payload) : $payload];
                continue;
            }
            if (($opcode === self::CONTINUATION) === ($this->kind === null)) {
                throw new ProtocolFault('fragments out of order', 1002);
            }
            $this->kind ??= $opcode;
            $this->message .= $payload;
            if ($final) {
                [$kind, $message] = [$this->kind, $this->message];
                [$this->kind, $this->message] = [null, ''];
                if ($kind === self::TEXT && !preg_match('//u', $message)) {
                    throw new ProtocolFault('not UTF-8', 1007);
                }
                yield [$kind, $message];
            }
        }
    }

    /** @return ?array{bool, int, string} null: more bytes, please */
    private function next(): ?array
    {
        $have = strlen($this->buffer);
        if ($have < 2) {
            return null;
        }
        [$first, $second] = [ord($this->buffer[0]), ord($this->buffer[1])];
        [$final, $opcode, $length] = [(bool) ($first & 0x80), $first & 0x0f, $second & 0x7f];
        $this->checkHead($first, $second);
        $at = 2;
        if ($length >= 126) {
            $at = $length === 126 ? 4 : 10;
            if ($have < $at) {
                return null;
            }
            $length = unpack($at === 4 ? 'n' : 'J', $this->buffer, 2)[1];
            if ($length < ($at === 4 ? 126 : 65536)) {
                throw new ProtocolFault('length not minimal', 1002);
            }
        }
        if ($have < $at + 4 + $length) {
            return null;
        }
        $mask = substr($this->buffer, $at, 4);
        $payload = substr($this->buffer, $at + 4, $length) ^ str_pad('', $length, $mask);
        $this->buffer = substr($this->buffer, $at + 4 + $length);
        return [$final, $opcode, $payload];
    }

    private function checkHead(int $first, int $second): void
    {
        $opcode = $first & 0x0f;
        $control = $opcode >= self::CLOSE;
        $why = match (true) {
            ($first & 0x70) !== 0 => 'reserved bit',
            !in_array($opcode, [0, 1, 2, 8, 9, 10], true) => 'unknown opcode',
            !($second & 0x80) => 'frame without mask',
            $control && !($first & 0x80) => 'fragmented control frame',
            $control && ($second & 0x7f) > 125 => 'control frame too long',
            default => null,
        };
        if ($why) {
            throw new ProtocolFault($why, 1002);
        }
    }

    private function soundClose(string $payload): string
    {
        if ($payload === '') {
            return $payload;
        }
        $code = strlen($payload) < 2 ? 0 : unpack('n', $payload)[1];
        $known = ($code >= 1000 && $code <= 1014 && !in_array($code, [1004, 1005, 1006], true))
            || ($code >= 3000 && $code <= 4999);
        if (!$known || !preg_match('//u', substr($payload, 2))) {
            throw new ProtocolFault('bad close', 1002);
        }
        return $payload;
    }
}

/** The application: a room for each path, everybody in it hears everybody else. */
final class Rooms implements Application
{
    /** @var array<string, SplObjectStorage<Connection, null>> */
    private array $rooms = [];

    public function onJoin(Connection $connection): void
    {
        $path = $connection->request->path;
        $this->rooms[$path] ??= new SplObjectStorage();
        $this->rooms[$path]->attach($connection);
        $connection->write(WsServer::frame(FrameParser::TEXT, "welcome to $path"));
    }

    public function onText(Connection $connection, string $text): void
    {
        $frame = WsServer::frame(FrameParser::TEXT, $text);
        foreach ($this->rooms[$connection->request->path] as $other) {
            if ($other !== $connection) {
                $other->write($frame);
            }
        }
    }

    public function onLeave(Connection $connection): void
    {
        $path = $connection->request->path;
        $this->rooms[$path]->detach($connection);
        if (count($this->rooms[$path]) === 0) {
            unset($this->rooms[$path]);
        }
    }
}

$loop = new Loop((int) ($argv[1] ?? 0), new HttpServer(new WsServer(new Rooms())));
pcntl_async_signals(true);
pcntl_signal(SIGTERM, $loop->stop(...), false);
pcntl_signal(SIGINT, $loop->stop(...), false);
echo 'listening ', $loop->address(), "\n";
$loop->run();
