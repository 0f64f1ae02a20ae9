"""Several orchestrators on one database: hosts that can be frozen and killed, a cable to the database that can be cut, and a ledger
of executions that no fault of ours can falsify."""
import collections
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import tempfile
import threading

from support import Berth, wait_until

SHORT = {"BERTH_LEASE": "3s", "BERTH_LOST_AFTER": "10s"}
SHOULD_NOT_HAPPEN_S = 3  # so long what must not come is given a chance


class Ledger:
    """Every attempt that is executed appends a line "job attempt" to a file of the host, through a bind."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="berth-ledger-", dir="/var/tmp"))
        self.dir.chmod(0o777)
        self.settings = {"BERTH_BIND_ROOTS": str(self.dir)}
        self.mounts = [{"type": "bind", "source": str(self.dir), "target": "/ledger"}]
        self.script = 'echo "$BERTH_JOB_ID $BERTH_ATTEMPT" >> /ledger/lines\n'

    def lines(self):
        with contextlib.suppress(FileNotFoundError):
            return [tuple(line.split()) for line in (self.dir / "lines").read_text().splitlines()]
        return []

    def attempts(self, job):
        return [int(attempt) for one, attempt in self.lines() if one == job]

    def destroy(self):
        shutil.rmtree(self.dir, ignore_errors=True)


class Host(Berth):
    """A Berth with a process group that can be treated badly."""

    def freeze(self):
        os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGCONT)

    def kill(self):
        """All its processes at once; containers go on."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def claims(self):
        return "claiming begins" in self.log()

    def row(self):
        """As the fleet's listing of any orchestrator shows it."""
        return next(o for o in self.get("/v1/orchestrators")["items"] if o["name"] == self.instance)

    def starts(self, ledger, text, **spec):
        job = self.script(ledger.script + text, mounts=ledger.mounts, **spec)
        wait_until(lambda: self.job(job)["status"] == "running" and ledger.attempts(job), lambda: f"{job} runs: {self.log()[-2000:]}")
        return job

    def on_engine(self):
        """Without probes of the engine whose parent was killed: the reaper leaves them for a quarter of an hour."""
        return [name for name in super().on_engine() if not name.startswith("berth-probe-")]

    def directories(self):
        return [d.name for d in self.state.glob("attempts/*")]

    def destroy(self):
        self.thaw()
        super().destroy()


class Cable:
    """A way to the database that can be cut: sessions break, and new ones are refused."""

    def __init__(self, postgres):
        self.target = str(postgres.socket / ".s.PGSQL.5432")
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="berth-cable-", dir="/tmp"))
        self.dir.chmod(0o755)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.dir / ".s.PGSQL.5432"))
        (self.dir / ".s.PGSQL.5432").chmod(0o777)
        self.listener.listen(64)
        self.lock, self.whole, self.pairs = threading.Lock(), True, []
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, database):
        return f"host={self.dir} user=berth dbname={database}"

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                if not self.whole:
                    near.close()
                    continue
                far = socket.socket(socket.AF_UNIX)
                far.connect(self.target)
                self.pairs.append((near, far))
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    @staticmethod
    def _pump(a, b):
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                b.sendall(data)
        for end in (a, b):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self):
        with self.lock:
            self.whole = False
            for pair in self.pairs:
                for end in pair:
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
            self.pairs.clear()

    def mend(self):
        with self.lock:
            self.whole = True

    def destroy(self):
        self.cut()
        self.listener.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def live_mains(hosts):
    """{(job, attempt): how many containers of it run}, on the engines of all hosts."""
    count = collections.Counter()
    for host in {h.settings.get("DOCKER_HOST"): h for h in hosts}.values():
        told = host.docker("ps", "--filter", f"label=io.berth.cluster={host.cluster()}", "--filter", "label=io.berth.role=main",
                           "--format", '{{.Label "io.berth.job"}} {{.Label "io.berth.attempt"}}')
        count.update(tuple(line.split()) for line in told.splitlines())
    return count
