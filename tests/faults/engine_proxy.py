"""A proxy before the Docker Engine's socket that spoils what is named: answers get lost, late, garbled, or are made up.

Each request gets a connection of its own to the engine ("Connection: close"), so that an answer ends where the engine says so.
"""
import contextlib
import pathlib
import re
import shutil
import socket
import tempfile
import threading
import time

ENGINE = "/var/run/docker.sock"
READ_BYTES = 65536
ID = re.compile("[0-9a-f]{64}")
JOB = re.compile('"io.berth.job":"([0-9a-f-]{36})"')


def answer(status, body, version="1.1"):
    """A whole answer with this body."""
    head = f"HTTP/{version} {status}\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


def read_request(client):
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(READ_BYTES)
        if not more:
            return None
        data += more
    head, body = data.split(b"\r\n\r\n", 1)
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    while length and len(body) < int(length[1]):
        body += client.recv(READ_BYTES)
    line, rest = head.split(b"\r\n", 1)
    return (line + b" " + body).decode(errors="replace"), line + b"\r\nConnection: close\r\n" + rest + b"\r\n\r\n" + body


def until_gone(client):
    """Says nothing more until the client has given up."""
    with contextlib.suppress(OSError):
        while client.recv(READ_BYTES):
            pass


# --- faults: what becomes of one request. send() gives it to the engine and yields its answer as it comes.

def lose(client, send):
    """It is done, but whoever wanted it never learns that."""
    for _ in send():
        pass


def hold(client, send):
    """The same, but the connection stays."""
    lose(client, send)
    until_gone(client)


def swallow(client, send):
    """The engine never gets it."""
    until_gone(client)


def cut(after):
    """Breaks off after so many bytes of the answer."""
    def fault(client, send):
        whole = b"".join(send())
        client.sendall(whole[:after])
    return fault


def say(words):
    """The engine never gets it, and this is answered."""
    return lambda client, send: client.sendall(words)


def say_instead(words):
    """It is done, but something else is answered."""
    def fault(client, send):
        lose(client, send)
        client.sendall(words)
    return fault


def edit(change):
    """The whole answer as bytes is changed on its way."""
    return lambda client, send: client.sendall(change(b"".join(send())))


def slice_up(pause_s):
    """Byte after byte."""
    def fault(client, send):
        for part in send():
            for i in range(len(part)):
                client.sendall(part[i:i + 1])
                time.sleep(pause_s)
    return fault


def flood(begin, more):
    def fault(client, send):
        client.sendall(begin)
        while True:
            client.sendall(more * 1000)
    return fault


class EngineProxy:
    def __init__(self, engine=ENGINE):
        self.engine = engine
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="berth-proxy-", dir="/tmp"))
        self.host = f"unix://{self.dir}/sock"
        self.requests = []  # the request line of each
        self.rules = []
        self.jobs = {}  # by id of a container or network
        self.lock = threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f"{self.dir}/sock")
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def spoil(self, pattern, fault, times=None, job=""):
        """The next so many requests (None: all) whose line has the pattern; what was said first comes first. job: only where its
        container or its network is concerned."""
        with self.lock:
            self.rules.append([re.compile(pattern), fault, times, job])

    def heal(self):
        with self.lock:
            self.rules.clear()

    def count(self, pattern):
        return sum(1 for line in self.requests if re.search(pattern, line))

    def fault_for(self, text):
        """text: request line and body. Ids in it count as their job's."""
        text = ID.sub(lambda found: f"{found[0]}={self.jobs.get(found[0], '')}", text)
        line = text.split("HTTP/1.", 1)[0]
        with self.lock:
            self.requests.append(line)
            for rule in self.rules:
                if rule[0].search(line) and rule[3] in text and (rule[2] is None or rule[2] > 0):
                    if rule[2] is not None:
                        rule[2] -= 1
                    return rule[1]
        return None

    def learn(self, text, part):
        """Whose it is, from what is asked (create) or answered (inspect)."""
        job = JOB.search(text) or JOB.search(part.decode(errors="replace"))
        found = re.search(rb'"Id":"([0-9a-f]{64})"', part)
        if job and found:
            self.jobs[found[1].decode()] = job[1]

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, socket.socket(socket.AF_UNIX) as engine, contextlib.suppress(OSError):
            request = read_request(client)
            if not request:
                return
            text, whole = request

            def send():
                engine.connect(self.engine)
                engine.sendall(whole)
                while part := engine.recv(READ_BYTES):
                    self.learn(text, part)
                    yield part

            fault = self.fault_for(text)
            if fault:
                fault(client, send)
                return
            # A client that goes away takes its request to the engine with it.
            threading.Thread(target=self.follow, args=(client, engine), daemon=True).start()
            for part in send():
                client.sendall(part)

    @staticmethod
    def follow(client, engine):
        until_gone(client)
        with contextlib.suppress(OSError):
            engine.shutdown(socket.SHUT_RDWR)

    def destroy(self):
        self.listener.close()
        shutil.rmtree(self.dir, ignore_errors=True)
