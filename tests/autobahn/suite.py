"""Sets the Autobahn|Testsuite fuzzing client up for Python 3.

    suite.py DIR     prints the interpreter that runs DIR/port/fuzz.py

DIR gets a virtual environment (venv/) and the converted sources (port/). The
suite is Python 2 only; it is downloaded, converted with fissix (lib2to3) and
edited below. Done again only when a file of this directory has changed.
"""

import hashlib
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tokenize
import io

HERE = pathlib.Path(__file__).resolve().parent
INPUTS = ["suite.py", "py2compat.py", "fuzz.py", "requirements.txt", "sdists.txt"]


def say(what):
    print("autobahn: " + what, file=sys.stderr, flush=True)


def stamp():
    digest = hashlib.sha256(("%d.%d" % sys.version_info[:2]).encode())
    for name in INPUTS:
        digest.update((HERE / name).read_bytes())
    return "autobahntestsuite 25.10.1, port " + digest.hexdigest()


def call(*command):
    done = subprocess.run([str(part) for part in command],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.stderr.write(done.stdout)
        sys.exit("autobahn: failed: " + " ".join(str(part) for part in command))


# Exact edits after conversion: file -> [(old, new)]. Each `old` must be there.
EDITS = {
    "autobahntestsuite/fuzzing.py": [
        ("class FuzzingProtocol:", "class FuzzingProtocol(binascii.BytesOnTheWire):"),
        ("self.Case.DESCRIPTION,", "binascii.text(binascii.to_bytes(self.Case.DESCRIPTION)),"),
        ("p = ''.join(payload)", "p = b''.join(payload)"),
        ('"localCloseReason": self.localCloseReason', '"localCloseReason": binascii.text(self.localCloseReason)'),
        ('self.http_request_data if', 'binascii.text(self.http_request_data) if'),
        ('self.http_response_data if', 'binascii.text(self.http_response_data) if'),
        ("json.dumps(case, sort_keys", "json.dumps(case, default = binascii.json_default, sort_keys"),
        ("% (c[0], case[c[0]], c[1])).encode(\"utf-8\"))", "% (c[0], case[c[0]], c[1])))"),
        ("ll.encode('utf8')", "binascii.printable(ll)"),
        ("def binLogData(", "def _binLogData("),
        ("def asciiLogData(", "def _asciiLogData("),
        ("class FuzzingFactory:", "binLogData = binascii.bin_log_data\n"
                                  "asciiLogData = binascii.ascii_log_data\n\n\nclass FuzzingFactory:"),
    ],
    "autobahntestsuite/report.py": [
        ("import jinja2\n", ""),
    ],
    "autobahntestsuite/case/case.py": [
        ("return pickle.dumps(obj1) == pickle.dumps(obj2)",
         "from autobahntestsuite import py2compat\n      return py2compat.same(obj1, obj2)"),
    ],
    "autobahntestsuite/case/case6_x_x.py": [
        ("v.validate(vss[:i])", "v.validate(binascii.to_bytes(vss[:i]))"),
    ],
    "autobahntestsuite/case/case10_1_1.py": [
        ("len(self.payload) / self.p.autoFragmentSize", "len(self.payload) // self.p.autoFragmentSize"),
    ],
    "autobahntestsuite/case/case9_9_1.py": [  # in no list of cases, yet imported
        ("implements(interfaces.IPushProducer)", "pass"),
        ("from zope.interface import implements", ""),
    ],
    "autobahn/websocket/protocol.py": [
        ("range(payload_len / len(payload))", "range(payload_len // len(payload))"),
    ],
}


def octet_literals(source):
    """Non-ASCII characters in a literal stand for their UTF-8 octets."""
    out, where = [], {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.STRING and not token.string.isascii():
            where[token.string] = "".join(
                c if c.isascii() else "".join("\\x%02x" % o for o in c.encode()) for c in token.string)
    for old, new in where.items():
        source = source.replace(old, new)
    return source


def convert(port):
    package = port / "autobahntestsuite"
    for name in list(package.rglob("*.py")):
        source = name.read_bytes().decode("utf-8").replace("\r\n", "\n")
        relative = name.relative_to(port).as_posix()
        if "/case/" in relative:
            source = octet_literals(source).replace("(object, Case, )", "(Case, )")
        # Modules that py2compat stands in for.
        line = re.compile(r"^import ([\w, ]+)$", re.M)

        def imports(match):
            names = [part.strip() for part in match.group(1).split(",")]
            kept = [part for part in names if part not in ("binascii", "pkg_resources")]
            lines = ["import " + ", ".join(kept)] if kept else []
            lines += ["from autobahntestsuite import py2compat as " + part for part in names if part not in kept]
            return "\n".join(lines)

        source = line.sub(imports, source)
        name.write_text(source, encoding="utf-8")
    # The second half of report.py is for the suite's other protocol, WAMP.
    report = package / "report.py"
    report.write_text(report.read_text(encoding="utf-8").split("\nfrom zope.interface import")[0] + "\n",
                      encoding="utf-8")
    for relative, edits in EDITS.items():
        name = port / relative
        source = name.read_text(encoding="utf-8")
        for old, new in edits:
            if old not in source:
                sys.exit("autobahn: %s: nothing to edit at %r" % (relative, old))
            source = source.replace(old, new)
        name.write_text(source, encoding="utf-8")


def set_up(root):
    venv, port, python = root / "venv", root / "port", root / "venv/bin/python"
    marker = root / "ready"
    if marker.exists() and marker.read_text() == stamp() and python.exists():
        return python
    say("setting up in %s (once)" % root)
    marker.unlink(missing_ok=True)
    for directory in (venv, port, root / "sdists"):
        shutil.rmtree(directory, ignore_errors=True)
    root.mkdir(parents=True, exist_ok=True)
    made = subprocess.run([sys.executable, "-m", "venv", str(venv)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if made.returncode:
        sys.stderr.write(made.stdout)
        sys.exit("autobahn: no virtual environment; on Debian and Ubuntu: apt-get install python3-venv")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    call(*pip, "install", "--require-hashes", "--only-binary", ":all:", "-r", HERE / "requirements.txt")
    call(*pip, "download", "--no-deps", "--require-hashes", "--no-build-isolation", "--no-binary", ":all:",
         "--dest", root / "sdists", "-r", HERE / "sdists.txt")
    port.mkdir()
    for archive in sorted((root / "sdists").glob("*.tar.gz")):
        package = archive.name.split("-")[0]
        with tarfile.open(archive) as tar:
            for member in tar.getmembers():
                path = pathlib.PurePosixPath(member.name)
                inside = path.parts[1:]
                if inside[:1] == (package,) and ".." not in inside and member.isfile():
                    target = port.joinpath(*inside)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(tar.extractfile(member).read())
    package = port / "autobahntestsuite"
    # Only the fuzzing client: the other modes are neither used nor converted.
    for name in package.glob("*.py"):
        if name.name not in ("_version.py", "fuzzing.py", "caseset.py", "report.py"):
            name.unlink()
    shutil.rmtree(package / "wampcase", ignore_errors=True)
    (package / "__init__.py").write_text("from ._version import __version__\nversion = __version__\n")
    call(python, "-m", "fissix", "--write", "--nobackups", "--no-diffs", package)
    convert(port)
    shutil.copy(HERE / "py2compat.py", package)
    shutil.copy(HERE / "fuzz.py", port)
    call(python, "-m", "compileall", "-q", port / "autobahntestsuite")
    call(python, port / "fuzz.py", "--list")
    marker.write_text(stamp())
    return python


if __name__ == "__main__":
    print(set_up(pathlib.Path(sys.argv[1]).resolve()))
