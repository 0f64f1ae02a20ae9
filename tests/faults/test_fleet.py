"""Three orchestrators on one database, each with an engine of its own, and what can happen to them, at random.

--long: 300 jobs and five minutes; BERTH_FLEET_S and BERTH_FLEET_JOBS set other figures.
"""
import contextlib
import heapq
import itertools
import json
import os
import signal
import time

import pytest

from engine import Engine
from fleet import Host, Ledger, live_mains
from support import IMAGE, told, wait_until

SETTINGS = {"BERTH_LEASE": "4s", "BERTH_LOST_AFTER": "10s", "BERTH_SLOTS": "5", "BERTH_REAP_INTERVAL": "5s"}
RETRIES = 4
PAUSES_S = (1, 3, 8, 20)  # the last is longer than lease and time to come back together
AT_ONCE_MAX = 2  # hosts; one is left to judge the others
HELPERS = ("gateway", "scribe", "reaper", "runner")
CALM_S = 240


class Fleet:
    def __init__(self, hosts, ledger, dice):
        self.hosts, self.ledger, self.dice = hosts, ledger, dice
        self.later, self.order = [], itertools.count()
        self.busy = set()
        self.done = []

    def at(self, seconds, what, *args):
        heapq.heappush(self.later, (time.monotonic() + seconds, next(self.order), what, args))

    def note(self, host, words):
        self.done.append(f"{time.monotonic():.1f} host {self.hosts.index(host)}: {words}")

    # -- faults; each leaves the host to the next one when it is over

    def free(self, host):
        self.busy.discard(host)

    def kill_all(self, host):
        down = self.dice.choice((0, 1, 5))
        self.note(host, f"kill -9 of all, down for {down} s")
        host.kill()
        self.at(down, self.restart, host)

    def restart(self, host):
        host.start(wait=False)
        self.at(2, self.free, host)

    def freeze_all(self, host):
        pause = self.dice.choice(PAUSES_S)
        self.note(host, f"stopped for {pause} s")
        host.freeze()
        self.at(pause, self.thaw, host)

    def thaw(self, host):
        host.thaw()
        self.note(host, "goes on")
        self.free(host)

    def victim(self, host, roles):
        children = host.children()
        role = self.dice.choice(roles)
        pids = [host.process.pid] if role == "parent" else sorted(children.get(role, []))
        return role, self.dice.choice(pids) if pids else None

    def kill_one(self, host):
        role, pid = self.victim(host, HELPERS)
        if pid:
            self.note(host, f"kill -9 of {role}")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.free(host)

    def stop_one(self, host):
        role, pid = self.victim(host, (*HELPERS, "parent"))
        if not pid:
            self.free(host)
            return
        pause = self.dice.choice(PAUSES_S)
        self.note(host, f"{role} stopped for {pause} s")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
        self.at(pause, self.wake_one, host, pid)

    def wake_one(self, host, pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        self.free(host)

    def strike(self, until):
        idle = [h for h in self.hosts if h not in self.busy]
        if idle and len(self.busy) < AT_ONCE_MAX:
            host = self.dice.choice(idle)
            self.busy.add(host)
            self.dice.choice((self.kill_all, self.freeze_all, self.kill_one, self.stop_one))(host)
        pause = self.dice.uniform(0.2, 2)
        if time.monotonic() + pause < until:
            self.at(pause, self.strike, until)

    def look(self, until):
        twice = {key: n for key, n in live_mains(self.hosts).items() if n > 1}
        assert not twice, f"more than one live container: {twice}"
        if self.later or time.monotonic() < until:
            self.at(1, self.look, until)

    def storm(self, seconds):
        until = time.monotonic() + seconds
        self.at(0, self.strike, until)
        self.at(0, self.look, until)
        while self.later:
            when, _, what, args = heapq.heappop(self.later)
            if what == self.look and time.monotonic() > until and not self.busy and not self.later:
                break
            time.sleep(max(0.0, when - time.monotonic()))  # the faults' own timetable
            what(*args)
        for host in self.hosts:
            wait_until(host.ready, "all are there again")


@pytest.fixture
def fleet(postgres, dice):
    engines, hosts, ledger = [], [], Ledger()
    try:
        engines += [Engine(), Engine()]
        for engine in (None, *engines):
            settings = {**SETTINGS, **ledger.settings, **({"DOCKER_HOST": engine.host} if engine else {})}
            hosts.append(Host(postgres, share=hosts[0] if hosts else None, **settings))
        for host in hosts:
            wait_until(host.claims, "it has proved its engine")
        yield Fleet(hosts, ledger, dice)
        for host in hosts:
            host.thaw()
        for host in reversed(hosts):
            host.destroy()
    finally:
        for engine in engines:
            engine.destroy()
        ledger.destroy()


def length(n):
    return 5 + 7 * n % 50


def lines_of(n, attempt):
    return b"".join(b"job %d attempt %d line %d\n" % (n, attempt, i) for i in range(length(n)))


def spec_of(fleet, n):
    script = fleet.ledger.script + (
        f"i=0; while [ $i -lt {length(n)} ]; do echo job {n} attempt $BERTH_ATTEMPT line $i; i=$((i+1)); sleep 0.2; done; exit {n % 3}")
    return {"image": IMAGE, "script": script, "mounts": fleet.ledger.mounts, "stop": {"grace": "1s"},
            "retry": {"max": RETRIES, "delay": "100ms", "on": ["infrastructure"]}}


def submit(fleet, jobs, n):
    """In SQL: there may be no gateway at the moment."""
    jobs[n] = fleet.hosts[0].sql(f"select berth.submit($spec${json.dumps(spec_of(fleet, n))}$spec$::jsonb)")


def check_ledger(fleet, jobs):
    told = fleet.ledger.lines()
    assert len(told) == len(set(told)), "an attempt was executed twice"
    freed = {tuple(row.split("|")) for row in
             fleet.hosts[0].sql("select job_id, number from berth.attempts where freed").splitlines()}
    assert not freed.intersection(told), f"given to others as never begun, and begun: {freed.intersection(told)}"
    assert {job for job, _ in told} <= set(jobs)
    for job in jobs:
        assert len(fleet.ledger.attempts(job)) <= 1 + RETRIES, job


def check_job(fleet, n, job):
    host = fleet.hosts[0]
    view = host.job(job)
    ends = host.sql("select count(*) from berth.events e join berth.statuses s on s.name = e.status and s.terminal"
                    f" where e.job_id = '{job}'")
    assert ends == "1", f"{job} has ended {ends} times: {view}"
    if view["status"] == "errored":
        used = host.sql(f"select count(*) from berth.attempts where job_id = '{job}' and not freed")
        assert view["reason"] == "orchestrator_lost" and used == str(1 + RETRIES), told(view)
        return
    assert (view["status"], view["exit_code"]) == ("failed" if n % 3 else "succeeded", n % 3), told(view)
    assert host.output(job) == lines_of(n, view["attempt"]), told(view)
    assert view["log"]["complete"], told(view)
    assert view["attempt"] in fleet.ledger.attempts(job), told(view)


@pytest.mark.fault("three hosts, killed and stopped at random", how="kill -9, SIGSTOP and SIGCONT of all processes and of single ones, from a seed",
                   holds="every job ends once; no attempt begins twice, none that was given away; no two live containers of one; logs exact")
def test_every_job_ends_once_whatever_happens_to_the_hosts(fleet, long):
    seconds = float(os.environ.get("BERTH_FLEET_S", 300 if long else 40))
    count = int(os.environ.get("BERTH_FLEET_JOBS", 300 if long else 30))
    jobs = [None] * count
    for n in range(count):  # a third at once, the others as time goes by
        fleet.at(max(0.0, (n - count / 3) / count) * seconds, submit, fleet, jobs, n)
    try:
        fleet.storm(seconds)
        sql = fleet.hosts[0].sql
        wait_until(lambda: sql("select count(*) from berth.jobs where finished_at is null") == "0",
                   lambda: sql("select id, status, reason, attempt, orchestrator, message from berth.jobs where finished_at is null"),
                   seconds=CALM_S, every=0.5)
        for host in fleet.hosts:
            wait_until(lambda h=host: not h.on_engine() and not h.directories(),
                       lambda h=host: f"all is cleared up: {h.on_engine()} {h.directories()} {h.log()[-3000:]}")
        check_ledger(fleet, jobs)
        for n, job in enumerate(jobs):
            check_job(fleet, n, job)
    finally:
        print("\n".join(fleet.done))
    attempts = fleet.hosts[0].sql("select count(*), count(*) filter (where freed),"
                                  " count(*) filter (where reason = 'orchestrator_lost' and not freed) from berth.attempts")
    print(f"{len(fleet.done)} faults, attempts | freed | lost: {attempts}, ledger {len(fleet.ledger.lines())}")
