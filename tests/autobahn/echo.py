"""A WebSocket server that sends every message back, with permessage-deflate: `echo.py PORT`."""

import asyncio
import sys

from websockets.asyncio.server import serve


async def echo(connection):
    async for message in connection:
        await connection.send(message)


async def main(port):
    # Case 9.1 and 9.2 send up to 16 MiB.
    async with serve(echo, "127.0.0.1", port, max_size=32 << 20, ping_interval=None) as server:
        await server.serve_forever()


asyncio.run(main(int(sys.argv[1])))
