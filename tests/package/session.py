"""Starts the gateway in a network of its own and uses it: session.py WSGATE ARGUMENT...

Health, a page over TLS on port 443, a WebSocket to the echo, one through the legacy profile to a server that decodes
one frame of each read, a reload, an upgrade and a drain.
"""

import base64
import hashlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading

MASK = b"\x01\x02\x03\x04"


def exactly(stream, count):
    data = b""
    while len(data) < count:
        piece = stream.recv(count - len(data))
        assert piece, f"the end after {data!r}"
        data += piece
    return data


def head(stream):
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        data += exactly(stream, 1)
    return data.decode()


def connect(path, more=""):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    stream = context.wrap_socket(socket.create_connection(("127.0.0.1", 443), timeout=10), server_hostname="localhost")
    stream.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode())
    return stream, head(stream)


def upgrade(path):
    more = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    stream, answer = connect(path, more + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
    assert answer.startswith("HTTP/1.1 101 "), answer
    return stream


def masked(data):
    return bytes(byte ^ MASK[at % 4] for at, byte in enumerate(data))


def say(stream, *texts):
    stream.sendall(b"".join(bytes([0x81, 0x80 | len(text)]) + MASK + masked(text) for text in texts))


def hear(stream):
    kind, length = exactly(stream, 2)
    return kind, exactly(stream, length)


def sent_home(stream):
    kind, reason = hear(stream)
    assert (kind, reason[:2]) == (0x88, b"\x03\xe9"), (kind, reason)
    stream.sendall(b"\x88\x82" + MASK + masked(b"\x03\xe9"))


def one_frame_a_read(listener):
    """A server of the kind that the legacy profile is for: of each read it decodes the first frame, and loses the rest."""
    stream, _ = listener.accept()
    key = head(stream).split("Sec-WebSocket-Key: ")[1].split("\r\n")[0]
    accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
    answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    stream.sendall(f"{answer}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
    while frame := stream.recv(4096):
        length = frame[1] & 0x7F
        key, data = frame[2:6], frame[6 : 6 + length]
        text = bytes(byte ^ key[at % 4] for at, byte in enumerate(data))
        if frame[0] & 0x0F == 1:
            stream.sendall(bytes([0x81, len(text)]) + text)


def main():
    listener = socket.create_server(("127.0.0.1", 7))
    threading.Thread(target=one_frame_a_read, args=(listener,), daemon=True).start()
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    gateway = subprocess.Popen(sys.argv[1:], **pipes, start_new_session=True)
    said = []
    reloaded, upgraded = threading.Event(), threading.Event()

    def follow():
        for line in gateway.stderr:
            said.append(line)
            if "reloaded" in line:
                reloaded.set()
            if "upgraded: " in line:
                upgraded.set()

    threading.Thread(target=follow, daemon=True).start()
    try:
        line = gateway.stdout.readline()
        assert line == "listening wss://127.0.0.1:443\n", (line, said)
        health = subprocess.run([sys.argv[1], "health", *sys.argv[2:]], capture_output=True, text=True, timeout=10)
        assert (health.returncode, health.stdout) == (0, "ready\n"), health
        assert connect("/chat")[1].startswith("HTTP/1.1 200 ")
        echo = upgrade("/echo")
        say(echo, b"hello")
        assert hear(echo) == (0x81, b"hello")
        legacy = upgrade("/php")
        texts = [b"%d" % number for number in range(100)]
        say(legacy, *texts)
        assert [hear(legacy)[1] for _ in texts] == texts
        gateway.send_signal(signal.SIGHUP)
        assert reloaded.wait(10), said
        say(echo, b"still here")
        assert hear(echo) == (0x81, b"still here")
        gateway.send_signal(signal.SIGUSR2)
        line = gateway.stdout.readline()
        assert line == "listening wss://127.0.0.1:443\n", (line, said)
        assert upgraded.wait(10), said
        sent_home(echo)
        legacy.close()
        gateway.wait(20)
        assert gateway.returncode == 0, (gateway.returncode, said)
        echo = upgrade("/echo")
        say(echo, b"another process")
        assert hear(echo) == (0x81, b"another process")
        heir = int(re.search(r"upgraded: .*pid=(\d+)", "".join(said)).group(1))
        os.kill(heir, signal.SIGTERM)
        sent_home(echo)
        assert gateway.stdout.read() == "", said
        assert not [line for line in said if "WARN" in line or "ERROR" in line], said
        print("serves under the unit's restrictions")
    finally:
        try:
            os.killpg(gateway.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


main()
