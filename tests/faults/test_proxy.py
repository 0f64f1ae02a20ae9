"""The proxy does what it says, or the tests that rest on it say nothing."""
import contextlib
import os
import socket
import socketserver
import tempfile
import threading
import time

import pytest

from proxy import Proxy
from support import wait_until


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        with contextlib.suppress(OSError):
            while data := self.request.recv(65536):
                self.server.heard.append(data)
                self.request.sendall(data)


@pytest.fixture(params=["unix", "tcp"])
def proxy(request):
    with tempfile.TemporaryDirectory() as place:
        if request.param == "unix":
            server = socketserver.ThreadingUnixStreamServer(f"{place}/echo", Echo)
            made = Proxy(f"{place}/echo", f"{place}/proxy")
        else:
            server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
            made = Proxy(server.server_address)
        server.daemon_threads, server.heard = True, []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.echo = server
        yield made
        made.close()
        server.shutdown()
        server.server_close()


def connect(proxy):
    unix = isinstance(proxy.listen, str)
    s = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
    s.settimeout(5)
    s.connect(proxy.listen if unix else tuple(proxy.listen))
    return s


def talk(s, text):
    s.sendall(text)
    return s.recv(65536)


def ended(s):
    try:
        return s.recv(1) == b""
    except ConnectionError:
        return True


def test_passes_everything(proxy):
    data, got = os.urandom(3_000_000), b""
    s = connect(proxy)
    threading.Thread(target=s.sendall, args=(data,), daemon=True).start()
    while len(got) < len(data):
        got += s.recv(65536)
    assert got == data


def test_slices_and_delays(proxy):
    proxy.up.slice_bytes, proxy.down.latency_s = 1, 0.3
    s, begin = connect(proxy), time.monotonic()
    data, got = os.urandom(3000), b""
    s.sendall(data)
    while len(got) < len(data):
        got += s.recv(4096)
    assert got == data and time.monotonic() - begin >= 0.3
    # How many of them the reader finds waiting at once is up to the machine.
    assert proxy.up.pieces(b"abc") == [b"a", b"b", b"c"] and proxy.down.pieces(b"abc") == [b"abc"]


def test_holds_and_lets_go(proxy):
    s = connect(proxy)
    assert talk(s, b"one") == b"one"
    proxy.hold()
    other = connect(proxy)
    for each in (s, other):
        each.sendall(b"two")
        each.settimeout(0.3)
        with pytest.raises(TimeoutError):
            each.recv(10)
        each.settimeout(5)
    proxy.heal()
    assert (s.recv(10), other.recv(10)) == (b"two", b"two")


def test_swallows(proxy):
    s = connect(proxy)
    assert talk(s, b"one") == b"one"
    proxy.swallow()
    s.sendall(b"two")
    wait_until(lambda: proxy.spoilt, "it was swallowed")
    proxy.heal()
    assert ended(s) and b"two" not in proxy.echo.heard
    assert talk(connect(proxy), b"three") == b"three"


def test_refuses_and_resets(proxy):
    s = connect(proxy)
    assert talk(s, b"one") == b"one"
    proxy.reset()
    assert ended(s)
    proxy.refuse()
    with pytest.raises(OSError):
        connect(proxy)
    proxy.heal()
    assert talk(connect(proxy), b"two") == b"two"


def test_cuts_after_bytes(proxy):
    cut = proxy.cut_after_bytes(5)
    s, got = connect(proxy), b""
    s.sendall(b"abcdefgh")
    with contextlib.suppress(ConnectionError):
        while part := s.recv(10):
            got += part
    assert got == b"abcde" and cut.done.is_set()


def test_cuts_behind_the_answer(proxy):
    """Across a piece's border, of the right client only, and the server has had it all."""
    wrong, right = connect(proxy), connect(proxy)
    assert (talk(wrong, b"I am A;"), talk(right, b"I am B;")) == (b"I am A;", b"I am B;")
    cut = proxy.cut_after(b"commit", who=b"am B")
    assert talk(wrong, b"commit") == b"commit"
    assert talk(right, b"com") == b"com"
    right.sendall(b"mit")
    assert ended(right) and cut.done.wait(5)
    assert b"".join(proxy.echo.heard).endswith(b"mit")
    assert talk(wrong, b"on") == b"on"
