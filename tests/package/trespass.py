"""Tries what confine.py must refuse, and says so: without it a service that serves would prove nothing."""

import ctypes
import mmap
import os
import socket

LIBC = ctypes.CDLL(None, use_errno=True)


def opens(path):
    open(path, "w", encoding="utf-8").close()


def kernel(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")


TRIALS = {
    "writing to /etc/wsgate": lambda: opens("/etc/wsgate/gateway.toml"),
    "writing to /var/tmp": lambda: opens("/var/tmp/wsgate-trespass"),
    "memory to write and to run": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC | mmap.PROT_READ),
    "a socket of packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "a socket of the kernel's ciphers": lambda: socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET),
    "a namespace": lambda: kernel(LIBC.unshare(0x10000000)),
    "a mount": lambda: kernel(LIBC.mount(b"tmpfs", b"/mnt", b"tmpfs", 0, None)),
    "another user": lambda: os.setuid(0),
    "a trace": lambda: kernel(LIBC.ptrace(16, os.getppid(), None, None)),
}

passed = []
for name, trial in TRIALS.items():
    try:
        trial()
        passed.append(name)
    except OSError:
        pass
print("not refused: " + ", ".join(passed) if passed else "all refused")
