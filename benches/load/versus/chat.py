"""A chat on Python's `websockets` behind its own TLS, at its best: no compression, no log, and each text is made once."""

import asyncio
import html
import itertools
import logging
import ssl

from websockets.asyncio.server import broadcast, serve
from websockets.exceptions import ConnectionClosed

logging.disable(logging.CRITICAL)

members = set()
numbers = itertools.count(1)


async def chat(member):
    author = f"User #{next(numbers)}: "
    members.add(member)
    try:
        async for text in member:
            if isinstance(text, bytes):
                await member.close(1003)
                return
            broadcast(members, author + html.escape(text))
    except ConnectionClosed:
        pass
    finally:
        members.discard(member)


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain("@CHAIN@", "@KEY@")
    async with serve(chat, "127.0.0.1", @PORT@, ssl=context, compression=None, backlog=4096) as server:
        await server.serve_forever()


asyncio.run(main())
