"""The Python 2 behaviours that the converted test suite relies on.

Copied into the converted `autobahntestsuite` package by `suite.py`.

In the suite a `str` is a byte string. After conversion its literals are text,
so text is read here as the bytes with the same numbers (Latin-1) wherever it
meets the wire, a comparison or a report; what comes off the wire stays bytes.
"""

import binascii
import os

from autobahn.websocket import protocol
from autobahn.websocket.utf8validator import Utf8Validator, UTF8_ACCEPT


def to_bytes(value):
    return value.encode("latin-1") if isinstance(value, str) else bytes(value)


def normal(value):
    """`value` with every text turned to bytes, so that == compares octets."""
    if isinstance(value, (str, bytes, bytearray, memoryview)):
        return to_bytes(value)
    if isinstance(value, (list, tuple)):
        return [normal(item) for item in value]
    return value


def same(left, right):
    return normal(left) == normal(right)


# Stands in for the modules `binascii` and `pkg_resources`.

def b2a_hex(data):
    return binascii.b2a_hex(to_bytes(data)).decode("ascii")


hexlify = b2a_hex


def resource_filename(_package, name):
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), name)


# Reports.

def text(value):
    if isinstance(value, (bytes, bytearray)):
        try:
            return bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            return bytes(value).decode("latin-1")
    return value


def json_default(value):
    if isinstance(value, (bytes, bytearray)):
        return text(value)
    raise TypeError("not for JSON: %r" % (value,))


def bin_log_data(data, maxlen=64):
    if len(data) > maxlen - 4:
        return b2a_hex(data[:maxlen]) + " ..."
    return b2a_hex(data)


def ascii_log_data(data, maxlen=64, replace=False):
    data = to_bytes(data)
    short = data[:maxlen] + b" ..." if len(data) > maxlen - 4 else data
    try:
        return short.decode("utf-8", "replace" if replace else "strict")
    except UnicodeDecodeError:
        return "0x" + bin_log_data(data, maxlen)


def printable(line):
    return line.encode("utf-8", "backslashreplace").decode("utf-8")


# Protocol.

class BytesOnTheWire:
    """First base class of the suite's protocols: takes text as octets."""

    def sendFrame(self, opcode, payload=b"", *args, **kwargs):
        return super().sendFrame(opcode, to_bytes(payload), *args, **kwargs)

    def sendMessage(self, payload, *args, **kwargs):
        return super().sendMessage(to_bytes(payload), *args, **kwargs)

    def sendMessageFrameData(self, payload, *args, **kwargs):
        return super().sendMessageFrameData(to_bytes(payload), *args, **kwargs)

    def sendCloseFrame(self, code=None, reasonUtf8=None, isReply=False):
        if reasonUtf8 is not None:
            reasonUtf8 = to_bytes(reasonUtf8)
        return super().sendCloseFrame(code, reasonUtf8, isReply)


# The pure Python masker and validator work octet by octet, which takes
# seconds for the large messages of section 9. Same results, in bulk:

class BulkMasker:
    def __init__(self, mask):
        self.mask = to_bytes(mask)
        self.ptr = 0

    def pointer(self):
        return self.ptr

    def reset(self):
        self.ptr = 0

    def process(self, data):
        size = len(data)
        shift = self.ptr & 3
        self.ptr += size
        key = self.mask[shift:] + self.mask[:shift]
        key = (key * (size // 4 + 1))[:size]
        octets = int.from_bytes(data, "big") ^ int.from_bytes(key, "big")
        return octets.to_bytes(size, "big")


class BulkUtf8Validator(Utf8Validator):
    def validate(self, data):
        if self.state == UTF8_ACCEPT:
            try:
                bytes(data).decode("utf-8")
            except UnicodeDecodeError:
                pass
            else:
                self.i += len(data)
                return True, True, len(data), self.i
        return super().validate(to_bytes(data))


def install():
    protocol.createXorMasker = lambda mask, length=None: BulkMasker(mask)
    protocol.Utf8Validator = BulkUtf8Validator
