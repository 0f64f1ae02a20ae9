"""A Berth whose processes die at fault points (base/fault.h), and that is started again whenever the parent has died."""
import http.client
import json
import pathlib
import shutil
import signal
import subprocess
import tempfile

from support import BUILD, IMAGE, PATIENCE_S, Berth, HttpError, wait_until

QUICK = {"BERTH_POLL_INTERVAL": "200ms", "BERTH_LEASE": "3s", "BERTH_REAP_INTERVAL": "1s", "BERTH_DRAIN_TIMEOUT": "0s"}
NEVER = 1000000


def fault_points():
    """{name: what is true there} of all points, as the program itself tells them."""
    done = subprocess.run([str(BUILD / "orchestrator" / "berthd"), "version", "--fault-points"], capture_output=True, text=True, check=True)
    return dict(line.split("\t") for line in done.stdout.splitlines())


class Mortal(Berth):
    def __init__(self, postgres, faults=None, **settings):
        """faults: {point: the number of the pass that kills, or NEVER: passes are only counted}."""
        self.faults = faults or {}
        self.submitted = 0
        self.deaths = []  # process ids of parents that were killed
        self.host = pathlib.Path(tempfile.mkdtemp(prefix="berth-faults-", dir="/var/tmp"))
        self.passes = self.host / "passes"
        self.bound = self.host / "bound"  # what jobs see as /host
        self.passes.mkdir()
        self.bound.mkdir()
        armed = {"BERTH_FAULT": ",".join(f"{p}:{n}" for p, n in self.faults.items()) + f"@{self.passes}"} if self.faults else {}
        super().__init__(postgres, **{**QUICK, "BERTH_SLOTS": "12", "BERTH_BIND_ROOTS": str(self.bound), **armed, **settings})

    # -- death and life

    def note_death(self):
        """Whether the parent is dead; nothing but SIGKILL may have done it."""
        code = self.process.poll()
        if code is None:
            return False
        assert code == -signal.SIGKILL, f"berthd ended with {code}:\n{self.log()[-3000:]}"
        if self.process.pid not in self.deaths:
            self.deaths.append(self.process.pid)
        return True

    def tend(self):
        if self.note_death():
            super().start(wait=False)

    def ready(self):
        self.tend()
        try:
            return super().request("GET", "/readyz", timeout=5)
        except (HttpError, OSError, http.client.HTTPException):
            return None

    def end(self, how):
        """Sends a signal that means to end, until one has been heeded."""
        while True:
            self.process.send_signal(how)
            code = self.process.wait(PATIENCE_S)
            if code == 0:
                return
            self.note_death()
            self.start()

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE_S)
        self.note_death()

    def passed(self, point):
        """Process ids that have passed it, in this order."""
        path = self.passes / point
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def killed_at(self, point):
        """The process that died there; None: it was not passed so often."""
        pids = self.passed(point)
        number = self.faults[point]
        return pids[number - 1] if len(pids) >= number else None

    def lives(self, pid):
        """Whether it is a process of ours that runs: not a zombie, and not another that was given its number since."""
        try:
            return str(self.passes).encode() in pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False

    def to_kill(self):
        return [point for point, number in self.faults.items() if number != NEVER]

    def left_to_kill(self):
        return [point for point in self.to_kill() if not self.killed_at(point)]

    def obituaries(self):
        """Process ids of the children that berthd saw end by SIGKILL."""
        return {line["child_pid"] for line in self.log_lines() if line["msg"] == "child died" and line["cause"].startswith("signal 9")}

    def runner_of(self, name):
        """Process id of the runner of an attempt; None: there is none now."""
        for pid in self.children().get("runner", []):
            try:
                if name.encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                    return pid
            except OSError:
                pass
        return None

    # -- the API, through all deaths

    def request(self, method, path, *args, **kwargs):
        whole = super().request

        def ask():
            self.tend()
            try:
                return whole(method, path, *args, **kwargs)
            except HttpError as e:
                if e.status != 503:
                    raise
            except (OSError, http.client.HTTPException):
                pass
            return None
        return wait_until(ask, lambda: f"{method} {path} is answered:\n{self.log()[-3000:]}")

    def submit(self, *command, **spec):
        """With a key, so that an answer that was lost makes no second job; the job sees our directory as /host."""
        mount = {"type": "bind", "source": str(self.bound), "target": "/host"}
        body = {"image": IMAGE, "mounts": [mount], **spec, **({"command": list(command)} if command else {})}
        self.submitted += 1
        return json.loads(self.request("POST", "/v1/jobs", body, {"Idempotency-Key": f"{self.instance}-{self.submitted}"})[2])["id"]

    def destroy(self):
        try:
            if self.note_death():
                self.start()
            super().destroy()
        finally:
            shutil.rmtree(self.host, ignore_errors=True)
