"""A PostgreSQL of the test's own, the gateway alone on it, and rows put in as scribe and parent would put them."""

import hashlib
import http.client
import json
import os
import pwd
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import uuid

TOKEN = "test-token-0123456789"
STDOUT, STDERR = 1, 2
PG_BIN = "/usr/lib/postgresql"
# What a job gets that asks for nothing; a setting that the gateway is not told is 0.
POLICY = {"default_memory": "512m", "max_memory": "1t", "default_pids": "1024", "max_pids": "32768",
          "default_shm": "64m", "max_shm": "16g", "default_nofile": "16384", "max_nofile": "1048576",
          "default_log": "64m", "max_log": "1g", "max_tmpfs": "16g", "default_pull": "5m", "max_pull": "1h",
          "default_start": "1m", "max_start": "10m", "default_run": "1h", "max_run": "7d", "max_queue": "30d",
          "default_grace": "10s", "max_grace": "10m"}


def until(what, condition, seconds=10.0):
    """Waits for a condition; the deadline is only there so that a broken subject does not hang the test."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("did not come about: " + what)
        time.sleep(0.02)


class Postgres:
    def __init__(self):
        self.bin = os.path.join(PG_BIN, sorted(os.listdir(PG_BIN))[-1], "bin")
        self.dir = tempfile.mkdtemp(prefix="berth-gateway-pg-")
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        if self.user:
            os.chown(self.dir, self.user.pw_uid, self.user.pw_gid)
        self.data = os.path.join(self.dir, "data")
        self.url = f"host={self.dir} dbname=postgres user=postgres"
        self.process = None
        self.run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()

    def _demote(self):
        if self.user:
            os.setgid(self.user.pw_gid)
            os.setuid(self.user.pw_uid)

    def run(self, name, *args):
        subprocess.run([os.path.join(self.bin, name), *args], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, preexec_fn=self._demote, cwd=self.dir)

    def start(self):
        self.process = subprocess.Popen(
            [os.path.join(self.bin, "postgres"), "-D", self.data, "-k", self.dir, "-c", "listen_addresses=",
             "-c", "fsync=off", "-c", "max_connections=40"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=self._demote, cwd=self.dir)
        until("PostgreSQL answers", lambda: self.answers(), 30)

    def answers(self):
        return subprocess.run([os.path.join(self.bin, "psql"), self.url, "-qAtc", "select 1"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)

    def sql(self, text):
        done = subprocess.run([os.path.join(self.bin, "psql"), self.url, "-qAt", "-v", "ON_ERROR_STOP=1"],
                              input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise AssertionError(f"SQL failed: {done.stderr}\n{text[:400]}")
        return done.stdout.strip()

    def close(self):
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


class Gateway:
    def __init__(self, program, database_url, **settings):
        self.program = program
        self.port = settings.pop("port", None) or free_port()
        open_files = settings.pop("open_files", None)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        env = {k: v for k, v in os.environ.items() if not k.startswith("BERTH_")}
        self.process = subprocess.Popen([program], pass_fds=(), stdin=subprocess.DEVNULL, env=env,
                                        stderr=subprocess.PIPE, close_fds=False,
                                        preexec_fn=lambda: self._become_child(theirs, open_files))
        theirs.close()
        self.control = ours
        values = {"database_url": database_url, "listen": f"127.0.0.1:{self.port}", "auth": "on",
                  "admin_token": TOKEN, "log_level": "debug", "instance": "test", **POLICY, **settings}
        ours.send(json.dumps({"type": "config", "settings": values, "instance": "test", "cluster": "", "cgroup": ""}).encode())
        self.log = []
        import threading
        self.reader = threading.Thread(target=self._read_log, daemon=True)
        self.reader.start()

    @staticmethod
    def _become_child(control, open_files):
        os.dup2(control.fileno(), 3)
        if open_files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line.decode("utf-8", "replace"))

    def ready(self, seconds=20):
        self.control.settimeout(seconds)
        answer = self.control.recv(65536)
        if json.loads(answer or b"{}") != {"type": "ready"}:
            raise AssertionError("the gateway does not get ready: " + "".join(self.log))
        return self

    def health(self, part, ok, detail=""):
        """What the parent tells of its host."""
        self.control.send(json.dumps({"type": "health", "part": part, "ok": ok, "detail": detail}).encode())

    def end(self):
        """As when the parent dies. Returns the exit status."""
        self.control.close()
        status = self.process.wait(20)
        self.reader.join(5)
        return status

    # --- HTTP ---

    def request(self, method, path, body=None, headers=None, token=TOKEN, connection=None, timeout=30):
        own = connection is None
        if own:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        send = {"Authorization": f"Bearer {token}"} if token else {}
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        if body is not None:
            send["Content-Type"] = "application/json"
        send.update(headers or {})
        send = {k: v for k, v in send.items() if v is not None}
        connection.request(method, path, body, send)
        answer = connection.getresponse()
        data = answer.read()
        if own:
            connection.close()
        return Answer(answer, data)

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def post(self, path, body=None, **kw):
        return self.request("POST", path, body, **kw)

    def raw(self, data, seconds=15):
        """Sends bytes, returns all that comes until the other side closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as s:
            s.sendall(data)
            out = b""
            while True:
                piece = s.recv(65536)
                if not piece:
                    return out
                out += piece


class Answer:
    def __init__(self, answer, data):
        self.status, self.headers, self.data = answer.status, answer.headers, data

    @property
    def json(self):
        return json.loads(self.data)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Log:
    """An attempt and its chunks, put in as the scribe does."""

    def __init__(self, pg, job, number=1, limit=1 << 30):
        self.pg, self.job, self.number, self.limit = pg, job, number, limit
        self.offset = self.stored = 0
        self.hash = hashlib.sha256()
        self.all = b""
        self.time_us = 1_700_000_000_000_000
        step = "update berth.jobs set status = 'preparing', attempt = {n}, orchestrator = 'test' where id = '{j}';"
        self.id = pg.sql(
            (step + "insert into berth.attempts (job_id, number, token, orchestrator, log_limit)"
                    " values ('{j}', {n}, {n}, 'test', {l}) returning id;").format(n=number, j=job, l=limit))

    def status(self, status, **columns):
        more = "".join(f", {k} = {v}" for k, v in columns.items())
        self.pg.sql(f"update berth.jobs set status = '{status}'{more} where id = '{self.job}';"
                    f"notify berth_log, '{self.job}';")

    def add(self, *pieces, step_us=1_000_000, notify=True):
        """One chunk of (stream, bytes) pieces; bytes alone are stdout's."""
        data = segments = b""
        for piece in pieces:
            stream, text = piece if isinstance(piece, tuple) else (STDOUT, piece)
            self.time_us += step_us
            segments += struct.pack("<IB3xQ", len(text), stream, self.time_us)
            data += text
        sql = (f"insert into berth.log_chunks (attempt_id, created_on, log_offset, bytes, segments)"
               f" values ({self.id}, current_date, {self.offset},"
               f" '\\x{data.hex()}', '\\x{segments.hex()}');")
        self.offset += len(data)
        self.stored += len(data)
        self.hash.update(data)
        self.all += data
        self._commit(sql, notify)
        return self

    def lost(self, n):
        sql = (f"insert into berth.log_chunks (attempt_id, created_on, log_offset, gap_bytes, gap_cause)"
               f" values ({self.id}, current_date, {self.offset}, {n}, 'lost');"
               f"update berth.attempts set lost_bytes = lost_bytes + {n} where id = {self.id};")
        self.offset += n
        self._commit(sql, True)
        return self

    def limit_gap(self, n):
        """What passes the limit is in no row."""
        self.offset += n
        self._commit("", True)
        return self

    def _commit(self, sql, notify):
        self.pg.sql(f"begin; {sql} update berth.attempts set log_bytes = {self.offset}, stored_bytes = {self.stored}"
                    f" where id = {self.id}; commit;" + (f"notify berth_log, '{self.job}';" if notify else ""))

    def end(self, status="succeeded", exit_code=0, job_status=None, notify=True):
        reason = {"failed": "'exit_code'"}.get(status, "null")
        self.pg.sql(
            f"begin; update berth.attempts set status = '{status}', exit_code = {exit_code}, log_complete = true,"
            f" finished_at = now(), log_sha256 = '\\x{self.hash.hexdigest()}' where id = {self.id};"
            f"update berth.jobs set status = '{job_status or status}', reason = {reason}, exit_code = {exit_code},"
            f" finished_at = now() where id = '{self.job}'; commit;"
            + (f"notify berth_log, '{self.job}';" if notify else ""))
        return self


def submit(pg):
    """A job that needs no HTTP."""
    job = str(uuid.uuid4())
    pg.sql(f"insert into berth.jobs (id, spec) values ('{job}', '{{\"image\": \"busybox\"}}');")
    return job
