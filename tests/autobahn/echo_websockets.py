"""Echo server on a free port with Python's `websockets`: prints `listening URL`.

With a directory as argument, serves wss with cert.pem and key.pem from there.
No compression.
"""

import asyncio
import logging
import pathlib
import ssl
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

logging.disable(logging.CRITICAL)


async def echo(connection):
    try:
        async for message in connection:
            await connection.send(message)
    except ConnectionClosed:
        pass


async def main():
    context = None
    if len(sys.argv) > 1:
        where = pathlib.Path(sys.argv[1])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(where / "cert.pem", where / "key.pem")
    async with serve(echo, "127.0.0.1", 0, ssl=context, compression=None, max_size=64 << 20,
                     ping_interval=None) as server:
        port = server.sockets[0].getsockname()[1]
        print("listening %s://127.0.0.1:%d" % ("wss" if context else "ws", port), flush=True)
        await server.serve_forever()


asyncio.run(main())
