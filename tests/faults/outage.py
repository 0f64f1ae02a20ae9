"""What tests of outages share: a PostgreSQL behind a proxy, jobs that log, and what has to be true of them afterwards."""
import contextlib
import glob
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import pytest

from proxy import Proxy
from support import PG_BIN, Berth, HttpError, Postgres, told, wait_until

BACK_WITHIN_S = 30  # the goal is 5, which a loaded machine may miss; what was measured is printed
TICKS_S = os.sysconf("SC_CLK_TCK")


class Behind:
    """The same cluster as seen through a proxy. What a test itself asks (sql, databases) goes past it."""

    def __init__(self, postgres):
        self.postgres = postgres
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="berth-proxy-", dir="/tmp"))
        os.chmod(self.dir, 0o755)
        self.proxy = Proxy(postgres.socket / ".s.PGSQL.5432", self.dir / ".s.PGSQL.5432")

    def __getattr__(self, name):
        return getattr(self.postgres, name)

    def url(self, database):
        return f"host={self.dir} user=berth dbname={database}"

    def destroy(self):
        self.proxy.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class OwnPostgres(Postgres):
    """One that a test may stop and kill."""

    def postmaster(self):
        return int((self.data / "postmaster.pid").read_text().splitlines()[0])

    def is_up(self):
        with contextlib.suppress(AssertionError):
            return self.sql("select 1") == "1"
        return False

    def set(self, **settings):
        """Settings that a reload takes over; None: as it was."""
        env = {**os.environ, "PGOPTIONS": "-c default_transaction_read_only=off"}
        words = [f"alter system set {k} = {v}" if v is not None else f"alter system reset {k}" for k, v in settings.items()]
        for statement in [*words, "select pg_reload_conf()"]:
            subprocess.run([PG_BIN / "psql", self.url("postgres"), "-qtAX", "-c", statement], env=env, check=True, capture_output=True)

    def session(self):
        """One that its caller keeps: a psql that reads statements."""
        return subprocess.Popen([PG_BIN / "psql", self.url("postgres"), "-qtAX"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True, bufsize=1)


class SmallPostgres(OwnPostgres):
    """Its data lie on a small disk that a test can fill. The write-ahead log lies elsewhere: without room for that, PostgreSQL ends."""

    def __init__(self, size_mib):
        self.size_mib = size_mib
        super().__init__()

    def prepare(self):
        image = self.dir / "disk"
        with open(image, "wb") as disk:
            disk.truncate(self.size_mib << 20)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, self.data], check=True)
        (self.data / "lost+found").rmdir()
        self.data.chmod(0o700)
        shutil.chown(self.data, "postgres", "postgres")

    def start(self):
        wal, inside = self.dir / "wal", self.data / "pg_wal"
        if not inside.is_symlink():
            shutil.move(inside, wal)
            subprocess.run(["chown", "-R", "postgres:postgres", wal], check=True)
            inside.symlink_to(wal)
        super().start()

    def fill(self):
        """Takes all the room there is, and what the server's own files have to spare stays theirs."""
        with open(self.data / "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(bytes(4096))

    def give_room(self):
        (self.data / "filler").unlink(missing_ok=True)

    def destroy(self):
        with contextlib.suppress(AssertionError):
            self.stop("immediate")
        subprocess.run(["umount", self.data], check=True)
        super().destroy()


class Chatter:
    """A job that writes numbered lines and ends with a code of its own."""

    def __init__(self, berth, number, lines, pause_s):
        self.berth, self.number, self.lines = berth, number, lines
        self.id = berth.script(f"i=0; while [ $i -lt {lines} ]; do echo job {number} line $i; i=$((i+1)); sleep {pause_s}; done; exit {number}")

    def expected(self):
        return b"".join(b"job %d line %d\n" % (self.number, i) for i in range(self.lines))

    def check(self):
        """Waits for its end: one attempt, the true exit code, every byte."""
        view = self.berth.wait(self.id)
        assert (view["status"], view["exit_code"], view["attempt"]) == ("succeeded" if self.number == 0 else "failed", self.number, 1), told(view)
        assert self.berth.output(self.id) == self.expected()
        assert view["log"]["complete"] is True and view["log"]["bytes"] == len(self.expected()), told(view)


def chatters(berth, count, lines, pause_s):
    jobs = [Chatter(berth, n, lines, pause_s) for n in range(count)]
    wait_until(lambda: all(berth.output(job.id) for job in jobs), "all of them write")
    return jobs


def answer_of(berth, method, path, body=None, timeout=60):
    """(status, headers, seconds) of a call that may fail."""
    begin = time.monotonic()
    try:
        status, headers, _ = berth.request(method, path, body, timeout=timeout)
    except HttpError as e:
        status, headers = e.status, e.headers
    return status, headers, time.monotonic() - begin


def readiness(berth):
    """(ready, the checks) as /readyz tells them."""
    import json
    try:
        return True, berth.get("/readyz", timeout=20)["checks"]
    except HttpError as e:
        assert e.status == 503, e
        return False, json.loads(e.body)["checks"]


def cpu_seconds(berth):
    """{pid: CPU time} of berthd and its children that are not runners."""
    pids = [berth.process.pid] + [pid for role, pids in berth.children().items() if role != "runner" for pid in pids]
    used = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            words = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            used[pid] = (int(words[11]) + int(words[12])) / TICKS_S
    return used


def cpu_since(berth, before):
    return sum(now - before.get(pid, 0) for pid, now in cpu_seconds(berth).items())


def spools(berth):
    """Bytes in the spools of each attempt."""
    sizes = {}
    for spool in glob.glob(f"{berth.state}/attempts/*/spool"):
        with contextlib.suppress(OSError):
            sizes[spool] = os.stat(spool).st_size
    return sizes


def ends_in_spool(berth):
    """How many attempts' directories have the runner's last word."""
    count = 0
    for journal in glob.glob(f"{berth.state}/attempts/*/journal"):
        with contextlib.suppress(OSError):
            count += '"cleaned"' in pathlib.Path(journal).read_text()
    return count


def complaints(berth, since=0):
    """Lines of the log from warnings on."""
    return [line for line in berth.log_lines()[since:] if line.get("level") in ("warn", "error")]


@pytest.fixture(scope="module")
def cluster():
    postgres = OwnPostgres()
    yield postgres
    postgres.destroy()


@pytest.fixture
def berth(cluster):
    instance = Berth(cluster, BERTH_SLOTS="10")
    yield instance
    instance.destroy()


@pytest.fixture
def behind(cluster):
    """A Berth whose way to the database goes through a proxy."""
    view = Behind(cluster)
    instance = Berth(view, BERTH_SLOTS="10")
    instance.proxy = view.proxy
    yield instance
    view.proxy.heal()
    instance.destroy()
    view.destroy()
