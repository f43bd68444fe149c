"""A WebSocket client on PyPI's `websockets`, steered by a test: orders come in on stdin, events go out on stdout.

Orders, one JSON object a line: {"text": "..."}, {"binary": "<base64>"}, {"fragments": ["...", "..."]},
{"ping": "..."}, {"close": 1000, "reason": "..."}.
Events, one JSON object a line: opened, text, binary, pong (the answer to an ordered ping), alive (the answer to one of
the library's own keepalive pings), closed (with the code each side gave), failed (no connection came about).
"""

import argparse
import asyncio
import base64
import json
import logging
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


def tell(event, **details):
    print(json.dumps({"event": event, **details}), flush=True)


class Keepalives(logging.Handler):
    """Turns the library's debug line about an answered keepalive ping into an event."""

    def emit(self, record):
        if "received keepalive pong" in record.getMessage():
            tell("alive")


def watched_logger():
    logger = logging.getLogger("tests.real")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(Keepalives())
    return logger


async def orders():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        yield json.loads(line)


async def obey(connection):
    async for order in orders():
        if "text" in order:
            await connection.send(order["text"])
        elif "binary" in order:
            await connection.send(base64.b64decode(order["binary"]))
        elif "fragments" in order:
            await connection.send(order["fragments"])
        elif "ping" in order:
            await (await connection.ping(order["ping"]))
            tell("pong", payload=order["ping"])
        elif "close" in order:
            await connection.close(order["close"], order.get("reason", ""))


async def listen(connection):
    try:
        while True:
            message = await connection.recv()
            if isinstance(message, str):
                tell("text", data=message)
            else:
                tell("binary", data=base64.b64encode(message).decode())
    except ConnectionClosed as closed:
        tell(
            "closed",
            code=connection.close_code,
            reason=connection.close_reason,
            sent=closed.sent and closed.sent.code,
            received=closed.rcvd and closed.rcvd.code,
        )


async def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("url")
    arguments.add_argument("--ping-interval", type=float, default=20)
    arguments.add_argument("--ping-timeout", type=float, default=20)
    chosen = arguments.parse_args()

    anybody = None
    if chosen.url.startswith("wss:"):
        anybody = ssl.create_default_context()
        anybody.check_hostname = False
        anybody.verify_mode = ssl.CERT_NONE
    try:
        connection = await connect(
            chosen.url,
            ssl=anybody,
            proxy=None,
            logger=watched_logger(),
            ping_interval=chosen.ping_interval,
            ping_timeout=chosen.ping_timeout,
            close_timeout=2,
            max_size=2**24,
        )
    except Exception as error:  # whatever it was, the test wants to read it
        tell("failed", why=f"{type(error).__name__}: {error}")
        return
    tell("opened", subprotocol=connection.subprotocol)
    obeying = asyncio.create_task(obey(connection))
    await listen(connection)
    obeying.cancel()


asyncio.run(main())
