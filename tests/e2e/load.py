"""Requests and WebSockets through Tidegate until SIGTERM; then what became of them, and 1 where anything was lost.

    load.py ADDRESS:PORT HOST

A client as viewers are: it keeps connections, and sends a GET again, once, where a kept connection had been closed before
a byte of the answer. A WebSocket that is closed with 1012 comes back; whatever else ends it is a loss.
"""

import asyncio
import collections
import signal
import struct
import sys
import time

REQUESTS_A_SECOND = 200
CONNECTIONS = 20
WEBSOCKETS = 100
PATIENCE = 10  # seconds for an answer

COMING_BACK = 1012
BEGUN = time.monotonic()


class Lost(Exception):
    """What a viewer would have noticed."""


class Closed(Exception):
    """A Close frame, with its code."""


LOSSES = (Lost, OSError, TimeoutError, asyncio.IncompleteReadError)


def told(loss):
    match loss:
        case TimeoutError():
            return f"nothing came within {PATIENCE} s"
        case asyncio.IncompleteReadError():
            return "the connection ended too early"
        case _:
            return str(loss)


class Tally:
    def __init__(self):
        self.well = collections.Counter()
        self.lost = []

    def lose(self, what):
        self.lost.append(f"{time.monotonic() - BEGUN:6.1f} s: {what}")

    def tell(self):
        for what, count in sorted(self.well.items()):
            print(f"{count:8} {what}")
        print(f"{len(self.lost):8} lost", *self.lost[:20], sep="\n" + 9 * " ")


async def head(reader):
    """A status line and the fields behind it; nothing at all where the connection had ended."""
    try:
        text = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as cut:
        if cut.partial:
            raise Lost("an answer was cut in its head") from None
        return None, {}
    lines = text.decode("latin-1").split("\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    return int(lines[0].split()[1]), fields


async def body(reader, fields):
    if fields.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(fields["content-length"]))
    while length := int(await reader.readline(), 16):
        await reader.readexactly(length + 2)
    return await reader.readline()


async def viewer(address, host, tally):
    """One that asks again and again over one connection, as long as that lasts."""
    connection, pause = None, CONNECTIONS / REQUESTS_A_SECOND
    while True:
        begun, kept = time.monotonic(), connection is not None
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = connection = connection or await asyncio.open_connection(*address)
                writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                try:
                    status, fields = await head(reader)
                except ConnectionError:
                    status, fields = None, {}
                if status is None and kept:
                    writer.close()
                    connection = None
                    continue
                if status != 200:
                    raise Lost(f"GET was answered with {status} {fields.get('x-tidegate-error', '')}")
                await body(reader, fields)
                tally.well["requests answered with 200"] += 1
                if fields.get("connection") == "close":
                    writer.close()
                    connection = None
        except LOSSES as error:
            tally.lose(f"request: {told(error)}")
            connection = None
        await asyncio.sleep(max(0, begun + pause - time.monotonic()))


def frame(opcode, payload):
    """As a viewer sends it; a mask of zeros is one, too."""
    return struct.pack("!BBI", 0x80 | opcode, 0x80 | len(payload), 0) + payload


async def next_message(reader, writer):
    """Waits for a message, and answers pings meanwhile."""
    while True:
        opcode, length = struct.unpack("!BB", await reader.readexactly(2))
        if length == 126:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
        payload = await reader.readexactly(length)
        match opcode & 0x0F:
            case 8:
                writer.write(frame(8, payload[:2]))
                raise Closed(struct.unpack("!H", payload[:2])[0] if payload else 1005)
            case 9:
                writer.write(frame(10, payload))
            case 1 | 2:
                return


async def websocket(address, host, tally):
    """One that says something every second, and comes back where it is asked to."""
    handshake = (
        f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    while True:
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection(*address)
                writer.write(handshake.encode())
                status, fields = await head(reader)
            if status != 101:
                raise Lost(f"a handshake was answered with {status} {fields.get('x-tidegate-error', '')}")
            while True:
                async with asyncio.timeout(PATIENCE):
                    writer.write(frame(1, b"hello"))
                    await next_message(reader, writer)
                    tally.well["messages of WebSockets that came back"] += 1
                await asyncio.sleep(1)
        except Closed as closed:
            writer.close()
            if closed.args[0] == COMING_BACK:
                tally.well["WebSockets asked to reconnect (1012)"] += 1
            else:
                tally.lose(f"WebSocket: closed with {closed}")
        except LOSSES as error:
            tally.lose(f"WebSocket: {told(error)}")
            await asyncio.sleep(1)


async def main(where, host):
    address, tally = where.rsplit(":", 1), Tally()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    work = [viewer(address, host, tally) for _ in range(CONNECTIONS)]
    work += [websocket(address, host, tally) for _ in range(WEBSOCKETS)]
    tasks = [asyncio.create_task(each) for each in work]
    stopped = asyncio.create_task(ended.wait())
    # None of them ends by itself: one that does has a fault of its own.
    await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done():
            tally.lose(f"the load itself: {task.exception()!r}")
        task.cancel()
    tally.tell()
    return 1 if tally.lost or len(tally.well) < 3 else 0


sys.exit(asyncio.run(main(*sys.argv[1:])))
