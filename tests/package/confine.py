"""Runs a program as a systemd unit would let it run, where no systemd does: confine.py UNIT -- PROGRAM ARGUMENT...

What the unit says of its user, capabilities, descriptors, new privileges, writable memory, file system, address
families, namespaces and system calls is read from it and put in force; what else it says is not. Needs root.
"""

import ctypes
import os
import resource
import socket
import subprocess
import sys

import pwd
import seccomp

NAMESPACES = 0x7E020080  # CLONE_NEW*: namespaces of mounts, cgroups, names, IPC, users, processes, networks, and of time
PR_SET_NO_NEW_PRIVS, PR_SET_MDWE, PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_SET_KEEPCAPS = 38, 65, 24, 47, 8
CAPABILITIES = {"CAP_NET_BIND_SERVICE": 10}
LIBC = ctypes.CDLL(None, use_errno=True)


def prctl(*arguments):
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:5]]
    if LIBC.prctl(*padded) != 0:
        raise OSError(ctypes.get_errno(), f"prctl{arguments}")


def read(path):
    said = {}
    for line in open(path, encoding="utf-8"):
        if "=" in line and not line.startswith("#"):
            key, value = line.strip().split("=", 1)
            said.setdefault(key, []).append(value)
    return said


def calls(name):
    """The system calls of a set such as @system-service."""
    if not name.startswith("@"):
        return {name}
    shown = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter", name], check=True, capture_output=True, text=True)
    lines = [line.strip() for line in shown.stdout.splitlines() if line.startswith("    ")]
    return set().union(*(calls(line) for line in lines if not line.startswith("#")))


def allowed(lines):
    found = set()
    for line in lines:
        names = set().union(*(calls(name) for name in line.lstrip("~").split()))
        found = found - names if line.startswith("~") else found | names
    return found | calls("@default")


def read_only():
    """ProtectSystem=strict, for what this process can see."""
    if LIBC.unshare(0x00020000) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    mounts = [line.split()[4] for line in open("/proc/self/mountinfo", encoding="utf-8")]
    for place in mounts:
        if not place.startswith(("/dev", "/proc", "/sys")):
            subprocess.run(["mount", "-o", "remount,bind,ro", place], check=place == "/", stderr=subprocess.DEVNULL)


def become(user, group, capability):
    number = CAPABILITIES[capability]
    for other in range(64):
        if other != number and LIBC.prctl(PR_CAPBSET_DROP, other, 0, 0, 0) != 0:
            break  # past the last one that this kernel knows
    prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    only = 1 << number
    if LIBC.capset(header, (ctypes.c_uint32 * 6)(only, only, only, 0, 0, 0)) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    prctl(PR_CAP_AMBIENT, 2, number)


def filter_calls(names, families):
    rules = seccomp.SyscallFilter(defaction=seccomp.ERRNO(1))
    for name in names - {"socket", "clone", "clone3", "unshare", "setns"}:
        try:
            rules.add_rule(seccomp.ALLOW, name)
        except RuntimeError:
            pass  # a call of another architecture
    for family in families:
        number = int(getattr(socket, family))
        rules.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, number))
    rules.add_rule(seccomp.ALLOW, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, NAMESPACES, 0))
    # Its flags are in memory: who calls it takes clone instead.
    rules.add_rule(seccomp.ERRNO(38), "clone3")
    rules.load()


def main():
    unit, divider, *program = sys.argv[1:]
    assert divider == "--", __doc__
    said = read(unit)
    one = lambda key: said[key][-1]
    for key in ("NoNewPrivileges", "MemoryDenyWriteExecute", "RestrictNamespaces"):
        assert one(key) == "yes", key
    assert one("ProtectSystem") == "strict"
    assert one("CapabilityBoundingSet") == one("AmbientCapabilities")
    names = allowed(said["SystemCallFilter"])
    account = pwd.getpwnam(one("User"))
    # Root of a container may have no say beyond what it was given.
    files = min(int(one("LimitNOFILE")), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    read_only()
    become(account.pw_uid, account.pw_gid, one("AmbientCapabilities"))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_MDWE, 1)
    filter_calls(names, one("RestrictAddressFamilies").split())
    os.execvp(program[0], program)


main()
