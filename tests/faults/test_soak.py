"""A random fault every few seconds under jobs that never pause: afterwards everything is true, and nothing has grown."""
import contextlib
import glob
import http.client
import json
import os
import pathlib
import shutil
import signal
import tempfile
import threading
import time
import uuid

import pytest
from engine import Engine
from invariants import LEDGER, Expected, check_end, check_log, leftovers
from support import IMAGE, Berth, HttpError, Postgres, told, wait_until

AT_ONCE = 5
LIVES = {False: (40, 2), True: (1200, 20)}  # seconds in all, seconds from fault to fault
GROWTH_MAX_KIB = 48 << 10  # of a process with sanitizers, from the first quiet moment to the last


class Lean(Berth):
    sanitizer_options = ":quarantine_size_mb=4"  # or nothing could be said about growth


class World:
    """One Berth, the database and the engine that it has to live with, and all jobs that it has accepted."""

    def __init__(self, dice, long):
        """Short: the engine is not killed; test_engine.py does that in its own way."""
        self.faults_known = [f for f in self.FAULTS if long or f is not World.kill_engine]
        self.dice, self.deck, self.expected, self.faults = dice, [], {}, []
        self.bound = pathlib.Path(tempfile.mkdtemp(prefix="berth-ledger-", dir="/var/tmp"))
        os.chmod(self.bound, 0o777)
        self.engine = Engine("--live-restore")
        self.postgres = Postgres()
        self.berth = Lean(self.postgres, DOCKER_HOST=self.engine.host, BERTH_BIND_ROOTS=str(self.bound), BERTH_SLOTS=str(AT_ONCE),
                           BERTH_LEASE="60s", BERTH_REAP_INTERVAL="2s")
        self.berth.bound = self.bound

    def destroy(self):
        for part in (self.berth, self.postgres, self.engine):
            part.destroy()
        shutil.rmtree(self.bound, ignore_errors=True)

    # -- jobs

    def accepted(self, spec):
        """Submits until there is an answer; the key makes one job of all that have arrived."""
        key = str(uuid.uuid4())

        def answer():
            try:
                return self.berth.request("POST", "/v1/jobs", spec, {"Idempotency-Key": key}, timeout=10)[2]
            except HttpError as e:
                assert e.status == 503, e
            except (OSError, http.client.HTTPException):
                pass
            return None
        return wait_until(answer, "a job is accepted", every=0.2)

    def submit(self):
        code, lines, pause = self.dice.choice([0, 0, 0, 3, 7]), self.dice.randrange(1, 40), self.dice.choice([0, 0.02, 0.1])
        script = LEDGER + f"i=0; while [ $i -lt {lines} ]; do echo line $i of {lines}; i=$((i+1)); sleep {pause}; done; exit {code}"
        spec = {"image": IMAGE, "script": script, "network": "none", "retry": {"max": 5, "delay": "100ms", "on": ["engine_restarted"]},
                "mounts": [{"type": "bind", "source": str(self.bound), "target": "/host"}]}
        job = json.loads(self.accepted(spec))["id"]
        output = b"".join(b"line %d of %d\n" % (i, lines) for i in range(lines))
        self.expected[job] = Expected("succeeded" if code == 0 else "failed", "completed" if code == 0 else "exit_code", code, [{"stdout": output}])

    def unfinished(self):
        with contextlib.suppress(AssertionError):  # the database may be the one that is hit just now
            return int(self.berth.sql("select count(*) from berth.jobs where finished_at is null"))
        return AT_ONCE

    # -- faults; each has undone itself when it returns

    def kill(self, role):
        victims = self.berth.children().get(role)
        if victims:
            os.kill(self.dice.choice(victims), signal.SIGKILL)

    def kill_gateway(self):
        self.kill("gateway")

    def kill_scribe(self):
        self.kill("scribe")

    def kill_reaper(self):
        self.kill("reaper")

    def kill_runner(self):
        self.kill("runner")

    def kill_parent(self):
        self.berth.process.kill()
        self.berth.process.wait()
        self.berth.start(wait=False)

    def restart_parent(self):
        self.berth.process.send_signal(signal.SIGTERM)
        self.berth.process.send_signal(signal.SIGTERM)
        self.berth.process.wait(60)
        self.berth.start(wait=False)

    def freeze(self):
        with standing_still(self.berth.process.pid):
            time.sleep(self.dice.uniform(0.5, 3))

    def restart_database(self):
        self.postgres.stop("immediate")
        self.postgres.start()

    def end_sessions(self):
        self.postgres.sql("select count(pg_terminate_backend(pid)) from pg_stat_activity where pid <> pg_backend_pid() and usename is not null")

    def kill_engine(self):
        self.engine.stop(signal.SIGKILL)
        self.engine.start()

    def freeze_engine(self):
        os.kill(self.engine.process.pid, signal.SIGSTOP)
        time.sleep(self.dice.uniform(0.5, 3))
        os.kill(self.engine.process.pid, signal.SIGCONT)

    FAULTS = (kill_gateway, kill_scribe, kill_reaper, kill_runner, kill_parent, restart_parent, freeze, restart_database, end_sessions,
              kill_engine, freeze_engine)

    def fault(self):
        if not self.deck:  # each comes once before one comes again
            self.deck = self.dice.sample(self.faults_known, len(self.faults_known))
        what = self.deck.pop()
        self.faults.append(what.__name__)
        what(self)


@contextlib.contextmanager
def standing_still(group):
    os.killpg(group, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(group, signal.SIGCONT)


class Feeder(threading.Thread):
    """Keeps as many jobs under way as there are slots, and one that waits."""

    def __init__(self, world):
        super().__init__(daemon=True)
        self.world, self.over, self.failure = world, threading.Event(), None

    def run(self):
        try:
            while not self.over.wait(0.1):
                if self.world.unfinished() <= AT_ONCE:
                    self.world.submit()
        except Exception as e:  # told by the test, in its own thread
            self.failure = e

    def stop(self):
        self.over.set()
        self.join()
        if self.failure:
            raise self.failure


def sizes(berth):
    """{role: (open descriptors, KiB resident)} of berthd's processes."""
    found = {}
    for role, pids in {**berth.children(), "parent": [berth.process.pid]}.items():
        for pid in pids:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            [rss] = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")]
            found[role] = (len(glob.glob(f"/proc/{pid}/fd/*")), rss)
    return found


def quiet_sizes(world):
    """When all there was to do is done: one of each helper, no runner."""
    helpers = {"gateway", "scribe", "reaper", "parent"}
    wait_until(world.berth.ready, "Berth is ready")
    wait_until(lambda: world.unfinished() == 0, lambda: f"every job ends:\n{world.berth.log()[-3000:]}", seconds=180)
    return wait_until(lambda: set(sizes(world.berth)) == helpers and sizes(world.berth), "only the helpers are left")


def check_all(world):
    """An engine that is killed in the middle of a start may have forgotten the container: only then there is a further attempt."""
    berth = world.berth
    wait_until(lambda: not leftovers(berth), lambda: f"nothing is left over: {leftovers(berth)}\n{berth.log()[-3000:]}", every=0.2)
    assert set(berth.sql("select id from berth.jobs").split()) == set(world.expected), "all jobs that were accepted, and no others"
    executions = (world.bound / "ledger").read_text().splitlines()
    assert len(executions) == len(set(executions)), f"executed twice: {sorted(e for e in executions if executions.count(e) > 1)}"
    for job, how in world.expected.items():
        view = berth.job(job)
        check_end(berth, job, how)
        check_log(berth, job, view["attempt"], how.output[0])
        assert f"{job} {view['attempt']}" in executions
        assert {e["reason"] for e in view["earlier_attempts"]} <= {"engine_restarted"}, told(view)
        assert not view["earlier_attempts"] or "kill_engine" in world.faults, told(view)


@pytest.fixture
def world(dice, long):
    made = World(dice, long)
    yield made
    made.destroy()


@pytest.mark.fault("random faults without pause", how="kill -9, TERM, SIGSTOP of berthd and its helpers, restarts and ended sessions of PostgreSQL, "
                   "kill -9 and SIGSTOP of the engine (live-restore), one every few seconds under five jobs at a time",
                   holds="each job ends once and true, its log whole; one execution an attempt; nothing left; memory and descriptors flat")
def test_soak(world, long, recovery):
    seconds, pause = LIVES[long]
    for _ in range(AT_ONCE):
        world.submit()
    before = quiet_sizes(world)
    feeder = Feeder(world)
    feeder.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end and not feeder.failure:
        time.sleep(pause)  # the time between two faults is what this test is about
        world.fault()
    feeder.stop()
    with recovery():
        after = quiet_sizes(world)
    print(len(world.expected), "jobs;", len(world.faults), "faults:", *world.faults)
    print("before", before, "after", after)
    check_all(world)
    for role, (descriptors, rss) in after.items():
        assert descriptors <= before[role][0] + 2, f"{role} has opened more and more: {before[role]} {after[role]}"
        assert rss <= before[role][1] + GROWTH_MAX_KIB, f"{role} has grown: {before[role]} {after[role]}"
