"""berth against a server that answers as the script says: slow viewers, answers that come at once, Ctrl-C.

Usage: client_test.py PATH-OF-BERTH
"""
import base64
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

JOB = "01890000-0000-7000-8000-000000000000"
BERTH = sys.argv.pop(1)
PATIENCE_S = 60


class Server:
    """One thread a connection, one request a connection. `routes`: (method, path's beginning) -> f(server, path)."""

    def __init__(self, routes):
        self.routes, self.seen, self.bodies, self.changed = routes, [], [], threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, connection.makefile("rb") as reader:
            method, path, _ = reader.readline().decode().split(" ", 2)
            headers = dict(line.split(": ", 1) for line in iter(lambda: reader.readline().decode().strip(), ""))
            headers = {key.lower(): value for key, value in headers.items()}
            body = reader.read(int(headers.get("content-length", 0)))
            with self.changed:
                self.bodies.append(body)
                self.seen.append((method, path, time.monotonic()))
                self.changed.notify_all()
            answer = next(f for (m, p), f in self.routes.items() if m == method and path.startswith(p))
            if "sec-websocket-key" not in headers:
                body = json.dumps(answer(self, path)).encode()
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                                   b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
                return
            key = headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
            connection.sendall(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                f"Sec-WebSocket-Protocol: berth.v1\r\nSec-WebSocket-Accept: {accept}\r\n\r\n").encode())
            for item in answer(self, path):
                code = isinstance(item, int)
                payload = item.to_bytes(2, "big") if code else json.dumps(item).encode()
                size = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + len(payload).to_bytes(2, "big")
                connection.sendall(bytes([0x88 if code else 0x81]) + size + payload)
            reader.read()  # until the client has gone

    def await_seen(self, method, part, count=1):
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.matching(method, part)) >= count, PATIENCE_S):
                raise AssertionError(f"{method} …{part} was not asked for; what was: {self.seen}")

    def matching(self, method, part):
        return [item for item in self.seen if item[0] == method and part in item[1]]


def hello(offset):
    return {"type": "hello", "job": JOB, "attempt": 1, "status": "running", "offset": offset}


def log(offset, text):
    return {"type": "log", "ts": "2026-01-02T03:04:05.678Z", "stream": "stdout", "offset": offset, "text": text}


END = {"type": "end", "offset": 8, "status": "succeeded", "exit_code": 0, "sha256": "0" * 64}


def view(status):
    return {"id": JOB, "status": status, "exit_code": 0 if status == "succeeded" else None}


class Client(unittest.TestCase):
    def start(self, routes, *words):
        self.started = threading.Event()
        self.server = Server(routes)
        self.addCleanup(self.server.listener.close)
        self.process = subprocess.Popen([BERTH, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env={**os.environ, "BERTH_URL": self.server.url})
        self.addCleanup(lambda: self.process.poll() is None and self.process.kill())
        self.started.set()
        return self.server

    def end(self):
        out, errors = self.process.communicate(timeout=PATIENCE_S)
        self.assertNotIn(b"Sanitizer", errors)
        return self.process.returncode, out, errors

    def interrupt(self):
        self.assertTrue(self.started.wait(PATIENCE_S))
        self.process.send_signal(signal.SIGINT)

    def test_what_a_slow_viewer_has_missed_is_fetched(self):
        def stream(server, path):
            if "offset=2" in path:
                return [hello(2), log(2, "cde"), END]
            return [hello(0), log(0, "ab"), {"type": "gap", "offset": 2, "bytes": 3, "cause": "skipped"}, 4408]
        self.start({("POST", "/v1/jobs"): lambda *_: view("queued"), ("GET", f"/v1/jobs/{JOB}/stream"): stream,
                    ("GET", f"/v1/jobs/{JOB}"): lambda *_: view("succeeded")}, "run", "image")
        self.assertEqual(self.end(), (0, b"abcde", b""))

    def test_a_gap_for_good_is_told_and_passed(self):
        def stream(server, path):
            return [hello(0), {"type": "gap", "offset": 0, "bytes": 7, "cause": "lost"}, log(7, "x"), END]
        self.start({("POST", "/v1/jobs"): lambda *_: view("queued"), ("GET", f"/v1/jobs/{JOB}/stream"): stream,
                    ("GET", f"/v1/jobs/{JOB}"): lambda *_: view("succeeded")}, "run", "image")
        status, out, errors = self.end()
        self.assertEqual((status, out), (0, b"x"))
        self.assertIn(b"7 bytes of the log are not here (lost)", errors)

    def test_answers_that_come_at_once_are_no_hot_loop(self):
        answers = iter(["running"] * 4 + ["succeeded"])
        server = self.start({("GET", f"/v1/jobs/{JOB}"): lambda *_: view(next(answers))}, "wait", JOB)
        self.assertEqual(self.end()[0], 0)
        times = [item[2] for item in server.matching("GET", "wait=")]
        self.assertEqual(len(times), 5)
        self.assertGreater(times[-1] - times[0], 1.4, "100, 200, 400 and 800 ms between them")

    def test_explained_for_people_and_for_programs(self):
        doc = {"id": JOB, "status": "retrying", "reason": "oom", "message": "Attempt 1 ended.", "position": 3,
               "waiting_for": [{"limit": "slots", "detail": "a: 4 of 4"}, {"limit": "queue_order", "detail": "2 jobs"}],
               "next": "Soon."}
        routes = {("GET", f"/v1/jobs/{JOB}/explain"): lambda *_: doc}
        self.start(routes, "explain", JOB)
        status, out, _ = self.end()
        self.assertEqual((status, out.decode().splitlines()), (0, [
            f"job       {JOB}", "status    retrying/oom", "message   Attempt 1 ended.", "position  3",
            "waits     slots: a: 4 of 4", "          queue_order: 2 jobs", "next      Soon."]))
        self.start(routes, "explain", "-o", "json", JOB)
        status, out, _ = self.end()
        self.assertEqual((status, json.loads(out)), (0, doc))

    def test_more_time_and_another_try(self):
        routes = {("POST", f"/v1/jobs/{JOB}/extend"): lambda *_: {**view("running"), "deadline_at": "later"},
                  ("POST", f"/v1/jobs/{JOB}/retry"): lambda *_: {**view("queued"), "id": "new"}}
        for words, wanted in ((("extend", JOB, "10m"), b"later\n"), (("extend", "-o", "name", JOB, "10m"), b"%s\n" % JOB.encode()),
                              (("extend", "-q", JOB, "10m"), b""), (("retry", JOB), b"new\n"), (("retry", "-q", JOB), b"")):
            server = self.start(routes, *words)
            self.assertEqual(self.end()[:2], (0, wanted))
            self.assertEqual(server.bodies[-1], b'{"run":"10m"}' if words[0] == "extend" else b"")
        for form in (("extend", "-o", "json", JOB, "10m"), ("retry", "-o", "json", JOB)):
            self.start(routes, *form)
            self.assertIn("status", json.loads(self.end()[1]))
        for wrong in (("extend", JOB), ("extend",), ("retry",), ("retry", JOB, JOB), ("explain",)):
            self.start(routes, *wrong)
            self.assertEqual(self.end()[0], 2)

    def test_interrupted_while_the_job_is_submitted(self):
        """The job that the answer names is canceled."""
        def submit(server, path):
            self.interrupt()
            return view("queued")
        self.start({("POST", "/v1/jobs/"): lambda *_: {}, ("POST", "/v1/jobs"): submit,
                    ("GET", f"/v1/jobs/{JOB}/stream"): lambda *_: [hello(0), END],
                    ("GET", f"/v1/jobs/{JOB}"): lambda *_: view("canceled")}, "run", "image")
        self.assertEqual(self.end()[:2], (130, b""))
        self.assertEqual(len(self.server.matching("POST", f"{JOB}/cancel")), 1)

    def test_interrupted_after_the_streams_end(self):
        def wait(server, path):
            self.interrupt()
            server.await_seen("POST", f"{JOB}/cancel")
            self.interrupt()
            server.await_seen("POST", f"{JOB}/cancel", 2)
            return view("canceled")
        self.start({("POST", "/v1/jobs/"): lambda *_: {}, ("POST", "/v1/jobs"): lambda *_: view("queued"),
                    ("GET", f"/v1/jobs/{JOB}/stream"): lambda *_: [hello(0), END],
                    ("GET", f"/v1/jobs/{JOB}"): wait}, "run", "image")
        status, _, errors = self.end()
        self.assertEqual(status, 130)
        self.assertIn(b"killing the job", errors)

    def test_interrupted_twice_without_an_answer(self):
        """Nobody is held by a server that takes a job and says nothing."""
        held = threading.Event()
        self.addCleanup(held.set)

        def submit(server, path):
            held.wait(PATIENCE_S)
            return view("queued")
        server = self.start({("POST", "/v1/jobs"): submit}, "run", "image")
        server.await_seen("POST", "/v1/jobs")
        until = time.monotonic() + PATIENCE_S
        while self.process.poll() is None and time.monotonic() < until:
            self.interrupt()
            try:
                self.process.wait(0.2)
            except subprocess.TimeoutExpired:
                pass
        status, _, errors = self.end()
        self.assertEqual(status, 125)
        self.assertIn(b"is not known", errors)


if __name__ == "__main__":
    unittest.main()
