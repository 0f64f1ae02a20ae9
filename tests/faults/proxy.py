"""A proxy that does to a connection what networks and dying servers do. For PostgreSQL, for the engine's socket, for anything
that speaks over a stream. It runs in a thread of its own; every fault can be switched while connections are open.

    proxy = Proxy(upstream="/run/postgresql/.s.PGSQL.5432", listen="/tmp/x/.s.PGSQL.5432")   # a path: Unix socket
    proxy = Proxy(upstream=("127.0.0.1", 5432))                                             # (host, port): TCP; listens on a free port
    proxy.down.latency_s = 0.2          towards the client, every piece comes so much later; .up: towards the server
    proxy.down.slice_bytes = 1          in pieces of one byte
    proxy.up.bytes_per_s = 10_000
    proxy.hold()                        a black hole: takes connections, lets nothing through, nothing is lost
    proxy.swallow()                     a black hole that loses what is sent into it; those connections are of no use afterwards
    proxy.refuse()                      nobody listens
    proxy.heal()                        all of the above is over
    proxy.reset()                       RST for every open connection
    cut = proxy.cut_after_bytes(1000, towards="down")
    cut = proxy.cut_after(b"commit", who=b":scribe")    forwarded and answered, but the answer does not come back
    cut.done.wait(5)                                    it has happened
"""
import asyncio
import contextlib
import os
import re
import socket
import struct
import threading

PIECE_BYTES = 65536
INTRODUCTION_BYTES = 4096  # of what a client says first, by which cut_after(who=…) knows it


class Lane:
    """What happens to the bytes in one direction."""

    def __init__(self):
        self.clear()

    def clear(self):
        self.latency_s, self.bytes_per_s, self.slice_bytes = 0, 0, 0

    def pieces(self, data):
        size = self.slice_bytes or len(data)
        return [data[i:i + size] for i in range(0, len(data), size)]


class Cut:
    """One connection is cut: behind so many bytes, or behind the answer to what matches."""

    def __init__(self, towards, after_bytes=None, match=None, who=b""):
        self.towards, self.after_bytes, self.who = towards, after_bytes, who
        self.match = re.compile(match) if match else None
        self.done = threading.Event()


class Connection:
    def __init__(self, proxy, client):
        self.proxy, self.client, self.server = proxy, client, None
        self.introduction, self.tail, self.passed = b"", b"", {"up": 0, "down": 0}
        self.losing = None  # the cut that waits for an answer to lose

    def abort(self):
        """RST where the socket knows such a thing."""
        for writer in (self.client[1], self.server[1] if self.server else None):
            if writer is None:
                continue
            with contextlib.suppress(OSError, AttributeError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    def find_cut(self, towards, data):
        """The cut that this piece brings about."""
        for cut in self.proxy.cuts:
            if cut.towards != towards or cut.who not in self.introduction:
                continue
            if cut.match and cut.match.search(self.tail + data):
                return cut
            if cut.after_bytes is not None and self.passed[towards] + len(data) >= cut.after_bytes:
                return cut
        return None

    async def pump(self, towards, reader, writer):
        lane = getattr(self.proxy, towards)
        while True:
            await self.proxy.open_gate()
            data = await reader.read(PIECE_BYTES)
            if not data:
                return
            await self.proxy.open_gate()
            if self.proxy.swallowing:
                self.proxy.spoilt.add(self)
                continue
            if self.losing and towards == "down":
                self.proxy.happened(self.losing)
                return
            if towards == "up" and len(self.introduction) < INTRODUCTION_BYTES:
                self.introduction += data
            if await self.forward(lane, towards, data, writer):
                return

    async def forward(self, lane, towards, data, writer):
        """True: the connection ends here."""
        cut = self.find_cut(towards, data)
        if cut and cut.match:
            self.proxy.cuts.remove(cut)
            self.losing = cut
        elif cut:
            data = data[:max(0, cut.after_bytes - self.passed[towards])]
        if towards == "up":
            self.tail = (self.tail + data)[-INTRODUCTION_BYTES:] if not cut else b""
        for piece in lane.pieces(data):
            if lane.latency_s or lane.bytes_per_s:
                await asyncio.sleep(lane.latency_s + (len(piece) / lane.bytes_per_s if lane.bytes_per_s else 0))
            await self.proxy.open_gate()
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)  # so that the next slice is one of its own
        self.passed[towards] += len(data)
        if cut and not cut.match:
            self.proxy.cuts.remove(cut)
            self.proxy.happened(cut)
            return True
        return False

    async def run(self):
        await self.proxy.open_gate()
        try:
            self.server = await self.proxy.connect()
        except OSError:
            self.abort()
            return
        pumps = [asyncio.ensure_future(self.pump("up", self.client[0], self.server[1])),
                 asyncio.ensure_future(self.pump("down", self.server[0], self.client[1]))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self.end()

    def end(self):
        """As an end of file, behind what was forwarded; a cut one as a reset."""
        if self.losing:
            self.abort()
            return
        for _, writer in (self.client, self.server):
            writer.close()


class Proxy:
    def __init__(self, upstream, listen=("127.0.0.1", 0)):
        self.upstream, self.listen = upstream, listen
        self.up, self.down = Lane(), Lane()
        self.cuts, self.connections, self.spoilt, self.accepted = [], set(), set(), 0
        self.swallowing, self.server = False, None
        self.loop = asyncio.new_event_loop()
        self.gate = None
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.call(self.begin())

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    async def begin(self):
        self.gate = asyncio.Event()
        self.gate.set()
        await self.open_listener()

    async def open_listener(self):
        if self.server:
            return
        if isinstance(self.listen, tuple):
            self.server = await asyncio.start_server(self.on_client, *self.listen)
            self.listen = self.server.sockets[0].getsockname()[:2]
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.listen)
        self.server = await asyncio.start_unix_server(self.on_client, str(self.listen))
        os.chmod(self.listen, 0o777)

    @property
    def port(self):
        return self.listen[1]

    async def connect(self):
        if isinstance(self.upstream, tuple):
            return await asyncio.open_connection(*self.upstream)
        return await asyncio.open_unix_connection(str(self.upstream))

    async def open_gate(self):
        await self.gate.wait()

    async def on_client(self, reader, writer):
        connection = Connection(self, (reader, writer))
        self.accepted += 1
        self.connections.add(connection)
        try:
            await connection.run()
        except (OSError, asyncio.CancelledError):
            connection.abort()
        finally:
            self.connections.discard(connection)
            self.spoilt.discard(connection)

    def happened(self, cut):
        cut.done.set()

    # -- what a test asks for, from its own thread

    def hold(self):
        self.call(self._set(gate=False))

    def swallow(self):
        self.call(self._set(swallowing=True))

    def heal(self):
        self.up.clear()
        self.down.clear()
        self.cuts.clear()
        self.call(self._set(gate=True, swallowing=False, listening=True))

    def refuse(self, reset=True):
        """Nobody listens any more; reset: and who is connected is thrown out."""
        self.call(self._set(listening=False))
        if reset:
            self.reset()

    def reset(self):
        self.call(self._reset(set(self.connections)))

    def cut_after_bytes(self, count, towards="down", who=b""):
        return self._cut(Cut(towards, after_bytes=count, who=who))

    def cut_after(self, match, who=b""):
        return self._cut(Cut("up", match=match, who=who))

    def close(self):
        self.refuse()
        self.call(self._finish())
        self.loop.call_soon_threadsafe(self.loop.stop)

    def _cut(self, cut):
        self.loop.call_soon_threadsafe(self.cuts.append, cut)
        return cut

    async def _set(self, gate=None, swallowing=None, listening=None):
        if gate is not None:
            (self.gate.set if gate else self.gate.clear)()
        if swallowing is not None:
            self.swallowing = swallowing
            if not swallowing:
                await self._reset(set(self.spoilt))
        if listening is False and self.server:
            self.server.close()
            self.server = None
            if not isinstance(self.listen, tuple):
                os.unlink(self.listen)
        elif listening:
            await self.open_listener()

    async def _finish(self):
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _reset(self, connections):
        for connection in connections:
            connection.abort()
