"""A real Berth for tests: a throw-away PostgreSQL, berthd with a state directory of its own, the real engine."""
import base64
import contextlib
import glob
import itertools
import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BERTH_BUILD", ROOT / "build" / "asan"))
CLIENT = str(BUILD / "client" / "berth")
IMAGE = os.environ.get("BERTH_TEST_IMAGE", "berth-test-busybox")
PG_BIN = pathlib.Path("/usr/lib/postgresql/15/bin")
TERMINAL = {"succeeded", "failed", "errored", "timed_out", "canceled"}
# Nothing here depends on speed; this only ends a test whose event never comes.
QUIT_S = 90  # berthd waits so long for the end of all jobs
PATIENCE_S = int(os.environ.get("BERTH_TEST_PATIENCE_S", "90"))


def wait_until(question, what, seconds=PATIENCE_S, every=0.05):
    """Asks until the answer is true, and returns it. what: a text, or what gives it when it is too late."""
    end = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain: {what() if callable(what) else what}")
        time.sleep(every)


def docker(*args, check=True, host=None, **kwargs):
    done = subprocess.run(["docker", *(["-H", host] if host else []), *args], capture_output=True, text=True, timeout=120, **kwargs)
    if check and done.returncode != 0:
        raise AssertionError(f"docker {' '.join(args)}: {done.stderr}")
    return done.stdout.strip()


def told(view):
    """What a failed comparison should show of a job."""
    return json.dumps({k: view.get(k) for k in ("id", "status", "reason", "message", "exit_code", "signal", "attempt", "timeline", "log")})


class Postgres:
    """A cluster of its own on a Unix socket."""

    def __init__(self, *initdb_options):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="berth-pg-", dir="/tmp"))
        os.chmod(self.dir, 0o755)
        self.data, self.socket = self.dir / "data", self.dir / "s"
        for d in (self.data, self.socket):
            d.mkdir()
            shutil.chown(d, "postgres", "postgres")
        self.prepare()
        self.command("initdb", "-D", self.data, "-U", "berth", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N", *initdb_options)
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(f"listen_addresses = ''\nunix_socket_directories = '{self.socket}'\nfsync = off\nmax_connections = 400\n")
        self.start()
        self.numbers = itertools.count(1)

    def prepare(self):
        """Before there is anything in the data directory."""

    def command(self, program, *args):
        done = subprocess.run(["runuser", "-u", "postgres", "--", str(PG_BIN / program), *map(str, args)],
                              capture_output=True, text=True, timeout=120, cwd="/")
        assert done.returncode == 0, done.stderr + done.stdout

    def start(self):
        self.command("pg_ctl", "-D", self.data, "-l", self.data / "log", "-w", "start")

    def stop(self, mode="fast"):
        self.command("pg_ctl", "-D", self.data, "-m", mode, "-w", "stop")

    def sql(self, statement, database="postgres"):
        done = subprocess.run([str(PG_BIN / "psql"), "-h", str(self.socket), "-U", "berth", "-d", database, "-qtAX",
                               "-v", "ON_ERROR_STOP=1", "-c", statement], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def new_database(self):
        name = f"berth{next(self.numbers)}"
        self.sql(f"create database {name}")
        return name

    def url(self, database):
        return f"host={self.socket} user=berth dbname={database}"

    def destroy(self):
        with contextlib.suppress(AssertionError):
            self.stop("immediate")
        shutil.rmtree(self.dir, ignore_errors=True)


def fnv1a(text):
    value = 0xcbf29ce484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001b3 % (1 << 64)
    return value


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class HttpError(Exception):
    def __init__(self, status, body, headers):
        super().__init__(f"{status}: {body[:2000]!r}")
        self.status, self.body, self.headers = status, body, headers

    @property
    def problem(self):
        return json.loads(self.body)


class Berth:
    """berthd as an operator runs it, and the ways to talk to it."""

    sanitizer_options = ""  # more of them, each with a colon before it

    def __init__(self, postgres, share=None, **settings):
        """share: another Berth whose database this one uses, too."""
        self.postgres = postgres
        self.owns_database = share is None
        self.database = share.database if share else postgres.new_database()
        self.state = pathlib.Path(tempfile.mkdtemp(prefix="berth-state-", dir="/var/tmp"))
        self.instance = "test-" + secrets.token_hex(4)
        self.token = share.token if share else "berth_" + secrets.token_urlsafe(24)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = {"BERTH_POLL_INTERVAL": "1s", **settings}
        self.process = None
        self.log_path = self.state / "berthd.log"
        self.start()

    def environment(self):
        keep = {k: v for k, v in os.environ.items() if not k.startswith("BERTH_")}
        sanitizer = f"log_path={self.state}/sanitizer:handle_abort=1:detect_leaks=1{self.sanitizer_options}"
        return {**keep, "BERTH_DATABASE_URL": self.postgres.url(self.database), "BERTH_LISTEN": f"127.0.0.1:{self.port}",
                "BERTH_STATE_DIR": str(self.state), "BERTH_INSTANCE": self.instance, "BERTH_ADMIN_TOKEN": self.token,
                "ASAN_OPTIONS": sanitizer, "UBSAN_OPTIONS": f"log_path={self.state}/sanitizer:print_stacktrace=1",
                **self.settings}

    def start(self, wait=True):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([str(BUILD / "orchestrator" / "berthd"), "run"], env=self.environment(),
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        if wait:
            wait_until(self.ready, lambda: f"berthd is ready:\n{self.log()[-3000:]}", seconds=30)

    def ready(self):
        assert self.process.poll() is None, f"berthd ended with {self.process.returncode}:\n{self.log()[-3000:]}"
        with contextlib.suppress(HttpError, OSError):
            return self.get("/readyz")
        return None

    def answers(self):
        """Whether the API does, be it ready or not."""
        with contextlib.suppress(HttpError, OSError):
            return self.request("GET", "/healthz")
        return None

    def log(self):
        return self.log_path.read_text(errors="replace")

    def log_lines(self):
        lines = []
        for line in self.log().splitlines():
            with contextlib.suppress(ValueError):
                lines.append(json.loads(line))
        return lines

    def obituaries(self, role):
        """The log's lines of children with this role that were killed."""
        return [line for line in self.log_lines() if line["msg"] == "child died" and line["child"] == role and "signal 9" in line["cause"]]

    def attempts_told(self, words):
        """The attempts of the log's lines with these words."""
        return [line["attempt"] for line in self.log_lines() if words in line["msg"]]

    def children(self):
        """{role: pid} of the live children, from /proc."""
        found = {}
        for stat in glob.glob("/proc/[0-9]*/stat"):
            with contextlib.suppress(OSError, IndexError):
                text = pathlib.Path(stat).read_text()
                if int(text.rsplit(")", 1)[1].split()[1]) != self.process.pid or text.rsplit(")", 1)[1].split()[0] == "Z":
                    continue
                words = pathlib.Path(stat).with_name("cmdline").read_bytes().split(b"\0")
                role = "runner" if b"berth-runner" in words[0] else words[1].decode()
                found.setdefault(role, []).append(int(pathlib.Path(stat).parent.name))
        return found

    def supervised(self):
        """Names of the attempts that a live runner has locked."""
        held = {line.split()[5].rsplit(":", 1)[1] for line in pathlib.Path("/proc/locks").read_text().splitlines() if line.split()[1] == "FLOCK"}
        attempts = self.state / "attempts"
        return {name for name in os.listdir(attempts) if name[0] != "." and str(os.stat(attempts / name).st_ino) in held}

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(QUIT_S + PATIENCE_S)
        return self.process.returncode

    def destroy(self):
        self.stop(signal.SIGQUIT)
        reports = sorted(glob.glob(f"{self.state}/sanitizer*"))
        texts = [pathlib.Path(r).read_text(errors="replace")[:6000] for r in reports]
        # A process that a test kills while its leaks are being looked for leaves this one line.
        texts = [t for t in texts if "Unable to get registers" not in t or "Sanitizer:" in t]
        left = self.on_engine() + self.networks_of_jobs()
        ours = ("--filter", f"label=io.berth.instance={self.instance}")
        for container in self.docker("ps", "-aq", *ours).split():
            self.docker("rm", "-f", container, check=False)
        for network in self.docker("network", "ls", "-q", *ours).split():
            self.docker("network", "rm", network, check=False)
        self.remove_from_host()
        for volume in self.docker("volume", "ls", "-q", *ours).split():
            self.docker("volume", "rm", volume, check=False)
        if self.owns_database:
            self.postgres.sql(f"drop database {self.database} with (force)")
        tail = self.log()[-2000:]
        shutil.rmtree(self.state, ignore_errors=True)
        assert not texts, "sanitizer reports:\n" + "\n".join(texts)
        assert not left, f"left on the engine: {left}\n{tail}"

    # -- the engine's view

    def docker(self, *args, **kwargs):
        return docker(*args, host=self.settings.get("DOCKER_HOST"), **kwargs)

    def on_engine(self):
        """Names of containers of this instance that exist in any state."""
        names = self.docker("ps", "-a", "--filter", f"label=io.berth.instance={self.instance}", "--format", "{{.Names}}")
        return names.split()

    def networks_of_jobs(self):
        """Names of networks that were made for one job of this instance."""
        return self.docker("network", "ls", "--filter", f"label=io.berth.instance={self.instance}", "--filter", "label=io.berth.job",
                      "--format", "{{.Name}}").split()

    def remove_from_host(self):
        """What outlives berthd on purpose: the packet filter's table of its cluster, and the group of its instance."""
        if self.owns_database:
            subprocess.run(["nft", "delete", "table", "inet", f"berth_{fnv1a(self.cluster()) >> 48:04x}"], capture_output=True)
        for group in glob.glob(f"/sys/fs/cgroup/*/berth-{self.instance}"):
            with contextlib.suppress(OSError):
                os.rmdir(group)

    def cluster(self):
        return self.sql("select id from berth.cluster")

    # -- the API

    def request(self, method, path, body=None, headers=None, token=True, timeout=PATIENCE_S):
        data = None
        headers = dict(headers or {})
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        if token:
            headers.setdefault("Authorization", f"Bearer {self.token if token is True else token}")
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as e:
            raise HttpError(e.code, e.read(), e.headers) from None

    def get(self, path, **kwargs):
        return json.loads(self.request("GET", path, **kwargs)[2])

    def submit(self, *command, **spec):
        if command:
            spec["command"] = list(command)
        spec.setdefault("image", IMAGE)
        return json.loads(self.request("POST", "/v1/jobs", spec)[2])["id"]

    def submit_and_wait(self, *command, **spec):
        return self.wait(self.submit(*command, **spec))

    def script(self, text, **spec):
        return self.submit(script=text, **spec)

    def job(self, job):
        return self.get(f"/v1/jobs/{job}")

    def wait(self, job):
        """The job when it has ended."""
        def ended():
            view = self.get(f"/v1/jobs/{job}?wait=10s")
            return view if view["status"] in TERMINAL else None
        return wait_until(ended, lambda: f"job {job} ends: {self.log()[-1500:]}")

    def run(self, text, **spec):
        return self.wait(self.script(text, **spec))

    def output(self, job, query=""):
        return self.request("GET", f"/v1/jobs/{job}/logs{query}")[2]

    def messages(self, job, query=""):
        body = self.request("GET", f"/v1/jobs/{job}/logs{query}", headers={"Accept": "application/x-ndjson"})[2]
        return [json.loads(line) for line in body.splitlines()]

    def cancel(self, job, force=False):
        return self.request("POST", f"/v1/jobs/{job}/cancel", {"force": force})[0]

    def sql(self, statement):
        return self.postgres.sql(statement, self.database)

    def client(self, *args, **kwargs):
        """The command line client, as a person would call it."""
        kwargs.setdefault("timeout", PATIENCE_S)
        return subprocess.run([CLIENT, *args], env=self.client_environment(kwargs.pop("env", {})), capture_output=True, **kwargs)

    def client_process(self, *args, env={}):
        """The same, not waited for."""
        return subprocess.Popen([CLIENT, *args], env=self.client_environment(env), stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def client_environment(self, more):
        return {**self.environment(), "BERTH_URL": self.url, "BERTH_TOKEN": self.token, **more}


def message_bytes(message):
    return base64.b64decode(message["base64"]) if "base64" in message else message["text"].encode()
