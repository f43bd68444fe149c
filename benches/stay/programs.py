"""The programs of benches/stay/run: built, started, asked, and ended again."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent.parent
TOKEN = "the-token-of-this-run"
# On a machine that is busy with other things.
PATIENCE = 120


class Failed(Exception):
    """What was to be tried could not be."""


def until(what, so, patience=PATIENCE):
    """Waits until this is so; what it came to."""
    end = time.monotonic() + patience
    while True:
        found = so()
        if found:
            return found
        if time.monotonic() > end:
            raise Failed(f"waited {patience} s in vain for {what}")
        time.sleep(0.02)


def build():
    """The gateway and the harness, as cargo benchmarks them."""
    gateway, harness = os.environ.get("WSGATE_BIN"), os.environ.get("LOAD_BIN")
    if not gateway:
        subprocess.run(["cargo", "build", "--release", "--locked", "--bin", "wsgate"], cwd=HOME, check=True)
        gateway = HOME / os.environ.get("CARGO_TARGET_DIR", "target") / "release/wsgate"
    if not harness:
        line = ["cargo", "bench", "--locked", "--bench", "load", "--no-run", "--message-format=json-render-diagnostics"]
        told = subprocess.run(line, cwd=HOME, check=True, stdout=subprocess.PIPE, text=True).stdout
        made = [json.loads(line).get("executable") for line in told.splitlines() if '"name":"load"' in line]
        harness = next(path for path in reversed(made) if path)
    return Path(gateway).resolve(), Path(harness).resolve()


class Yard:
    """A folder, and what runs in it; with its end, that ends."""

    def __init__(self, folder, built):
        folder.mkdir()
        self.folder, (self.wsgate, self.load) = folder, built
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in reversed(self.running):
            program.end()

    def start(self, name, line):
        log = open(self.folder / f"{name}.log", "ab")
        program = Program(name, subprocess.Popen(line, cwd=self.folder, stdout=log, stderr=log), self.folder)
        self.running.append(program)
        return program

    def echo(self, name):
        """A backend that sends back what it gets: its URL."""
        config = self.folder / f"{name}.toml"
        config.write_text(
            'listen = ["127.0.0.1:0"]\nworkers = 1\n[log]\nlevel = "warn"\n'
            '[limits]\nconnections_per_address = 100000\npending_per_address = 100000\nhandshakes_per_address = "0/s"\n'
            '[[route]]\npath = "/"\necho = {}\n'
        )
        program = self.start(name, [self.wsgate, "--config", config])
        return program.until(r"^listening (ws://\S+)$")

    def redis(self):
        """A Redis that keeps nothing: its address."""
        if not shutil.which("redis-server"):
            raise Failed("redis-server is missing: apt-get install redis-server")
        path = self.folder / "redis.sock"
        line = ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no"]
        self.start("redis", line)

        def answers():
            try:
                with socket.socket(socket.AF_UNIX) as line:
                    line.connect(str(path))
                    line.sendall(b"PING\r\n")
                    return line.recv(16).startswith(b"+PONG")
            except OSError:
                return False

        until("Redis", answers)
        return f"unix:{path}"


class Program:
    """One of them, and its log."""

    def __init__(self, name, process, folder):
        self.name, self.process, self.pid, self.log = name, process, process.pid, folder / f"{name}.log"

    def told(self, since=0):
        return self.log.read_text(errors="replace")[since:]

    def mark(self):
        return len(self.told())

    def until(self, pattern, since=0, patience=PATIENCE):
        """Waits for this in its log; what the pattern's group is."""

        def found():
            match = re.search(pattern, self.told(since), re.MULTILINE)
            if not match and self.process.poll() not in (None, 0):
                raise Failed(f"{self.name} has ended with {self.process.returncode}: {self.told()[-600:]}")
            return match

        return until(f"{pattern} in the log of {self.name}", found, patience).group(1)

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Gateway:
    """wsgate under test, over all its processes."""

    def __init__(self, yard, config):
        self.yard, self.file = yard, yard.folder / "wsgate.toml"
        (yard.folder / "token").write_text(TOKEN + "\n")
        self.certify()
        self.write(config)
        self.program = yard.start("wsgate", [yard.wsgate, "--config", self.file])
        self.port = int(self.program.until(r"^listening wss://127\.0\.0\.1:(\d+)$"))
        self.admin = yard.folder / "admin.sock"
        self.heirs = []
        yard.running.append(self)

    def end(self):
        """Those that it has started are not our children, and nobody waits for them but us."""
        for pid in self.heirs:
            for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
                if is_alive(pid):
                    os.kill(pid, sign)
                    try:
                        until(f"the end of {pid}", lambda pid=pid: not is_alive(pid), 5)
                    except Failed:
                        pass

    def write(self, config):
        # As an editor does it: never half a file.
        fresh = self.file.with_suffix(".new")
        fresh.write_text(config)
        fresh.rename(self.file)

    def certify(self):
        """A fresh certificate in place of the one before."""
        made = self.yard.folder / "certs"
        shutil.rmtree(made, ignore_errors=True)
        line = [self.yard.wsgate, "cert", "--out", made, "localhost", "127.0.0.1"]
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL)

    def leaf(self):
        """The certificate that a reload would take up."""
        return ssl.PEM_cert_to_DER_cert((self.yard.folder / "certs/localhost.pem").read_text().split("-----END", 1)[0]
                                        + "-----END CERTIFICATE-----\n")

    def shown(self):
        """The certificate that who comes now gets to see."""
        return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", self.port)))

    def status(self, path):
        """What a plain request for this path is answered."""
        line = http.client.HTTPSConnection("127.0.0.1", self.port, context=ssl._create_unverified_context(), timeout=60)
        try:
            line.request("GET", path)
            return line.getresponse().status
        finally:
            line.close()

    def signal(self, sign):
        os.kill(self.pid(), sign)

    def pid(self):
        return self.heirs[-1] if self.heirs else self.program.pid

    def reload(self):
        """What the log says of it."""
        since = self.program.mark()
        self.signal(signal.SIGHUP)
        self.program.until(r"(reloaded)", since)
        # The lines of one reload are written together.
        time.sleep(0.2)
        return self.program.told(since)

    def ask(self, method, path, body=None):
        line = Door(self.admin)
        try:
            headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
            line.request(method, path, json.dumps(body) if body else None, headers)
            answer = line.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if "json" in (answer.headers.get("content-type") or "") else text.decode()
        finally:
            line.close()

    def metric(self, name):
        """The sum of a metric, whatever its labels."""
        lines = self.ask("GET", "/metrics")[1].splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.split(r"[{ ]", line, maxsplit=1)[0] == name)

    def upgrade(self):
        """Another process takes over; waits until the old one has gone, and says how it ended."""
        since, old = self.program.mark(), self.pid()
        self.signal(signal.SIGUSR2)
        heir = int(self.program.until(r"upgrade: started anew\D*pid=(\d+)", since, 20))
        self.heirs.append(heir)

        def over():
            refused = re.search(r"NOT UPGRADED.*", self.program.told(since))
            if refused:
                self.heirs.remove(heir)
                raise Failed(refused.group(0))
            return not is_alive(old)

        until("the end of the old process", over, 300)
        return self.program.process.wait() if len(self.heirs) == 1 else 0


class Door(http.client.HTTPConnection):
    """The admin door, on a unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)


def is_alive(pid):
    """Whether this process runs; one that has ended and is not buried yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


class Staying:
    """The harness: connections that talk and come back."""

    def __init__(self, yard, gateway, path, count, seconds, more=()):
        self.json = yard.folder / "stay.json"
        line = [yard.load, "--bench", f"wss://127.0.0.1:{gateway.port}{path}", "--insecure", "--profile", "stay"]
        line += ["-c", str(count), "--for", f"{seconds}s", "--patience", "60s", "--json", self.json, *more]
        self.program = yard.start("load", [str(word) for word in line])
        self.count = count

    def is_over(self):
        return self.program.process.poll() is not None

    def found(self):
        """Its report."""
        self.program.process.wait()
        if not self.json.exists():
            raise Failed(f"the harness has no report: {self.program.told()[-2000:]}")
        return json.loads(self.json.read_text())


def say(text):
    print(f"  {text}", file=sys.stderr, flush=True)
