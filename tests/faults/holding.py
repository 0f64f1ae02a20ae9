"""A socket before the engine's that stops at one request, so that a test can do something in that very moment."""
import contextlib
import pathlib
import socket
import tempfile
import threading

ENGINE = "/var/run/docker.sock"


class Holding:
    """before(): called when the first request that holds `word` has come, before the engine sees it;
    after(): when its answer has come, before the client sees it."""

    def __init__(self, word, before=None, after=None):
        self.word, self.before, self.after = word.encode(), before, after
        self.failed = []
        self.dir = tempfile.TemporaryDirectory(prefix="berth-holding-", dir="/tmp")
        self.path = pathlib.Path(self.dir.name) / "docker.sock"
        self.host = f"unix://{self.path}"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.held = False
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                engine = socket.socket(socket.AF_UNIX)
                engine.connect(ENGINE)
                answer_held = threading.Event()
                threading.Thread(target=self.pump, args=(client, engine, self.request, answer_held), daemon=True).start()
                threading.Thread(target=self.pump, args=(engine, client, self.answer, answer_held), daemon=True).start()

    def pump(self, source, sink, look, answer_held):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                look(data, answer_held)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def call(self, what):
        try:
            what()
        except BaseException as e:  # told by the test's own thread
            self.failed.append(e)

    def request(self, data, answer_held):
        if self.word in data and not self.held:
            self.held = True
            if self.before:
                self.call(self.before)
            if self.after:
                answer_held.set()

    def answer(self, data, answer_held):
        if answer_held.is_set():
            answer_held.clear()
            self.call(self.after)

    def close(self):
        self.listener.close()
        self.dir.cleanup()
        assert self.held, "nobody asked the engine for that"
        if self.failed:
            raise self.failed[0]
