"""The Docker Engine is killed, ended, stopped and started again under running jobs."""
import contextlib
import os
import pathlib
import signal
import time

import pytest

from engine_world import FLOOD, UNTIL_GO, Engine, World, told
from support import IMAGE, HttpError, wait_until

SERVICE = [{"name": "db", "image": IMAGE, "command": ["sh", "-c", "echo up; while :; do sleep 1; done"], "ready": {"log": "up"}}]
ENDS = [pytest.param(signal.SIGKILL, id="killed"), pytest.param(signal.SIGTERM, id="terminated")]


@pytest.fixture(scope="module")
def engines():
    """One for each set of options."""
    made = {}

    def get(*options):
        if options not in made:
            made[options] = Engine(*options)
        return made[options]

    yield get
    for engine in made.values():
        engine.destroy()


@pytest.fixture
def new_world(new_berth, engines):
    made = []

    def make(*options, **settings):
        made.append(World(new_berth, engines(*options), **settings))
        return made[-1]

    yield make
    for world in made:
        world.destroy()


def start_all(world):
    """A job of each kind, once it is certain that it runs."""
    jobs = {
        "quiet": world.script("echo up; " + UNTIL_GO + "echo down; exit 6"),
        "flooding": world.script(FLOOD + "exit 7"),
        "with a service": world.script("echo up; " + UNTIL_GO + "nslookup db >/dev/null && exit 8", network="private", services=SERVICE),
        "trapping": world.script("trap 'echo trapped; exit 0' TERM; echo up; " + UNTIL_GO + "exit 9"),
        "repeated": world.script("echo up; [ $BERTH_ATTEMPT = 2 ] && exit 10; " + UNTIL_GO + "exit 11",
                                 retry={"max": 2, "delay": "100ms", "on": ["infrastructure"]}),
    }
    world.signed(*jobs.values())
    wait_until(lambda: all(world.berth.output(job) for job in jobs.values()), "all of them write")
    return jobs


@pytest.mark.fault("dockerd killed and terminated, with live-restore", how="kill -9, TERM, and a restart, under jobs of every kind",
                   holds="no byte of log lost; true ends; one execution each")
@pytest.mark.parametrize("how", ENDS)
def test_with_live_restore_nothing_is_lost(new_world, how):
    world = new_world("--live-restore")
    jobs = start_all(world)
    world.engine.stop(how)
    wait_until(lambda: len(world.berth.output(jobs["flooding"])) > 500_000, "the flood goes on without an engine")
    world.engine.start()
    world.ledger.go()
    ends = {kind: world.berth.wait(job) for kind, job in jobs.items()}
    for kind, code in {"quiet": 6, "flooding": 7, "with a service": 8, "trapping": 9, "repeated": 11}.items():
        view = ends[kind]
        assert (view["status"], view["reason"], view["exit_code"], view["attempt"]) == ("failed", "exit_code", code, 1), told(view)
        assert view["log"]["complete"] is True, told(view)
        assert world.ledger.executions(view["id"]) == [1], kind
    assert world.berth.output(jobs["quiet"]) == b"up\ndown\n"
    assert world.berth.output(jobs["flooding"], "?stream=stdout") == world.ledger.flood_of(jobs["flooding"])


@pytest.mark.fault("dockerd killed and terminated, without live-restore", how="kill -9, TERM, and a restart, under jobs of every kind",
                   holds="errored/engine_restarted, also for one that traps TERM and ends with 0; repeated where asked")
@pytest.mark.parametrize("how", ENDS)
def test_without_live_restore_the_engine_is_told_to_be_the_cause(new_world, how):
    world = new_world()
    jobs = start_all(world)
    world.engine.stop(how)
    world.engine.start()
    ends = {kind: world.berth.wait(job) for kind, job in jobs.items()}
    for kind in ("quiet", "flooding", "with a service", "trapping"):
        view = ends[kind]
        assert (view["status"], view["reason"], view["attempt"]) == ("errored", "engine_restarted", 1), told(view)
        assert view["log"]["complete"] is True, told(view)
        assert world.ledger.executions(view["id"]) == [1], kind
    assert world.berth.output(jobs["trapping"]).endswith(b"trapped\n"), "it had taken the engine's stop for a wish"
    flood = world.berth.output(jobs["flooding"], "?stream=stdout").split(b"\n")
    assert flood[:-1] == [b"%d" % i for i in range(len(flood) - 1)], "all that came before the end, and nothing else"
    view = ends["repeated"]
    assert (view["status"], view["exit_code"], view["attempt"]) == ("failed", 10, 2), told(view)
    assert world.ledger.executions(view["id"]) == [1, 2]
    assert world.berth.output(view["id"], "?attempt=1") == b"up\n"


@pytest.fixture
def stopped_s(long):
    """Longer than any single call to the engine may take; in the short form shorter than a job waits for an engine."""
    return 120 if long else 30


@pytest.mark.fault("dockerd stands still", how="SIGSTOP for 30 s (long: 2 min)",
                   holds="no double start, no false end; new jobs wait")
def test_stopped_it_costs_no_job_and_starts_none_twice(new_world, dice, stopped_s, long):
    world = new_world()
    more = {"deadlines": {"start": "10m"}}
    if long:
        more["retry"] = {"max": 9, "delay": "1s", "factor": 1, "on": ["infrastructure"]}
    early = world.script("echo up; until [ -e /ledger/early ]; do sleep 0.1; done; echo down; exit 6")
    late = world.script("echo up; " + UNTIL_GO + "echo down; exit 7")
    world.signed(early, late)
    on_the_way = []
    for n in range(6):
        on_the_way.append(world.script(f"echo here; exit {n}", network=dice.choice(["none", "private"]), **more))
        time.sleep(dice.uniform(0, 0.4))  # so that each is at another step when the engine stops
    world.engine.process.send_signal(signal.SIGSTOP)
    stopped_at = time.monotonic()
    new = [world.script(f"echo here; exit {n}", **more) for n in range(3)]
    (world.ledger.dir / "early").touch()
    wait_until(lambda: b"down\n" in world.berth.output(early), "a job ends without an engine")
    while time.monotonic() < stopped_at + stopped_s:
        for job in (early, late, *new):
            assert not world.ended(job), told(world.berth.job(job))
        time.sleep(1)
    world.engine.process.send_signal(signal.SIGCONT)
    world.ledger.go()
    for job, code in (early, 6), (late, 7):
        view = world.berth.wait(job)
        assert (view["reason"], view["exit_code"], view["attempt"]) == ("exit_code", code, 1), told(view)
        assert world.berth.output(job) == b"up\ndown\n" and view["log"]["complete"] is True
    for code, job in [*enumerate(on_the_way), *enumerate(new)]:
        view = world.berth.wait(job)
        assert view["exit_code"] == code, told(view)
        assert world.berth.output(job, "?stream=stdout") == b"here\n", told(view)  # the system's may tell of a long clean-up
        runs = world.ledger.executions(job)
        assert runs == ([view["attempt"]] if long else [1]), (runs, told(view))
    assert len(world.ledger.lines()) == len(set(world.ledger.lines()))
    assert "has hung" not in world.berth.log(), "whoever waits for the engine does not hang"


def processes(*words):
    """Pids of live processes whose command line has all of these."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if line and all(word in line for word in words):
                found.append(int(path.parent.name))
    return found


def the_process(*words):
    """The only one; what it is just about to execute bears its name for a moment."""
    def only():
        found = processes(*words)
        return found[0] if len(found) == 1 else None
    return wait_until(only, f"one process is {' '.join(words)}")


@pytest.mark.fault("containerd dies", how="kill -9",
                   holds="the end is noticed and its cause is the engine's")
def test_containerd_killed(new_world):
    world = new_world()
    stays = world.script("echo up; " + UNTIL_GO + "echo down; exit 6")
    ends = world.script("echo up; until [ -e /ledger/early ]; do sleep 0.1; done; echo down; exit 7")
    world.signed(stays, ends)
    containerd = the_process("containerd ", str(world.engine.dir), "--config")
    os.kill(containerd, signal.SIGKILL)
    (world.ledger.dir / "early").touch()
    view = world.berth.wait(ends)
    assert (view["reason"], view["exit_code"], view["attempt"]) == ("exit_code", 7, 1), told(view)
    world.ledger.go()
    view = world.berth.wait(stays)
    assert (view["reason"], view["exit_code"], view["attempt"]) == ("exit_code", 6, 1), told(view)
    for job in (stays, ends):
        assert world.berth.output(job) == b"up\ndown\n" and world.ledger.executions(job) == [1]


@pytest.mark.fault("a container's shim dies", how="kill -9",
                   holds="the end is noticed and its cause is true")
def test_shim_killed(new_world):
    """It takes the container with it, and init with that; nobody is left to say how the job ended."""
    world = new_world()
    job = world.script("echo up; " + UNTIL_GO + "exit 6", retry={"max": 1, "delay": "100ms", "on": ["infrastructure"]})
    world.signed(job)
    container = world.engine.docker("ps", "-q", "--no-trunc", "--filter", f"name={job}")
    shim = the_process("containerd-shim", container)
    os.kill(shim, signal.SIGKILL)
    killed_at = time.monotonic()
    world.signed(job, attempt=2)
    print(f"executed again after {time.monotonic() - killed_at:.1f} s")
    world.ledger.go()
    view = world.berth.wait(job)
    assert (view["reason"], view["exit_code"], view["attempt"]) == ("exit_code", 6, 2), told(view)
    assert world.ledger.executions(job) == [1, 2]
    first = world.berth.sql(f"select status, reason from berth.attempts where job_id = '{job}' and number = 1")
    assert first in ("errored|container_killed", "errored|container_removed"), first


@pytest.mark.fault("dockerd restarted at random moments", how="kill -9 and TERM by the seed, with and without live-restore",
                   holds="every job ends once; at most one execution an attempt; nothing left")
@pytest.mark.parametrize("options", [(), ("--live-restore",)], ids=["", "live-restore"])
def test_restarts_at_random_moments(new_world, dice, long, options):
    """While jobs are made, started, stopped and removed. Each attempt runs once at most, and what is told of it is true."""
    world = new_world(*options, BERTH_REAP_INTERVAL="1s")
    jobs, canceled = {}, set()
    for _ in range(12 if long else 3):
        for _ in range(4):
            code, lasts = dice.randrange(1, 100), dice.choice([0, 0.3, 1])
            job = world.script(f"echo begun; sleep {lasts}; echo done; exit {code}", network=dice.choice(["none", "private"]),
                               retry={"max": 20, "delay": "1s", "factor": 1, "on": ["infrastructure"]}, stop={"grace": "1s"})
            jobs[job] = code
            time.sleep(dice.uniform(0, 0.5))
            if dice.random() < 0.25:
                with contextlib.suppress(HttpError):  # it has ended already
                    world.berth.cancel(job)
                    canceled.add(job)
        world.engine.stop(dice.choice([signal.SIGKILL, signal.SIGTERM]))
        time.sleep(dice.uniform(0, 1))
        world.engine.start()
    for job, code in jobs.items():
        view = world.berth.wait(job)
        runs = world.ledger.executions(job)
        assert len(runs) == len(set(runs)), (runs, told(view))
        if view["status"] == "canceled" and job in canceled:
            continue
        assert (view["reason"], view["exit_code"]) == ("exit_code", code), told(view)
        assert view["attempt"] in runs and view["attempt"] == max(runs), (runs, told(view))
        # What the engine does not remove at once is left to the reaper, which the log says on its stream of Berth's own words.
        assert world.berth.output(job, "?stream=stdout") == b"begun\ndone\n", told(view)
    wait_until(lambda: not world.berth.on_engine() + world.berth.networks_of_jobs(),
               lambda: f"nothing is left on the engine: {world.berth.on_engine()} {world.berth.networks_of_jobs()}")


@pytest.mark.fault("no engine when berthd starts", how="dockerd killed before",
                   holds="what runs is taken up, what is new waits")
def test_away_at_the_start_of_berthd(new_world):
    """What runs is taken up without it, what is new waits for it."""
    world = new_world("--live-restore")
    stays = world.script("echo up; " + UNTIL_GO + "echo down; exit 6")
    ends = world.script("echo up; until [ -e /ledger/early ]; do sleep 0.1; done; echo down; exit 7")
    world.signed(stays, ends)
    world.engine.stop(signal.SIGKILL)
    world.berth.stop(signal.SIGKILL)
    world.berth.start(wait=False)
    wait_until(world.berth.answers, "the gateway answers, though it is not ready")
    new = world.script("echo here; exit 8")
    (world.ledger.dir / "early").touch()
    wait_until(lambda: b"down\n" in world.berth.output(ends), "its log goes on without an engine")
    wait_until(lambda: [line for line in world.berth.log_lines() if "engine cannot be used yet" in line["msg"]], "berthd says so")
    assert not world.ended(new) and not world.ended(stays)
    world.engine.start()
    world.ledger.go()
    for job, code in (ends, 7), (stays, 6), (new, 8):
        view = world.berth.wait(job)
        assert (view["reason"], view["exit_code"], view["attempt"]) == ("exit_code", code, 1), told(view)
        assert world.ledger.executions(job) == [1]
    assert world.berth.output(stays) == world.berth.output(ends) == b"up\ndown\n"


def test_away_for_too_long_at_the_start_of_berthd(new_world):
    world = new_world(BERTH_START_TIMEOUT="2s")
    world.engine.stop()
    world.berth.stop()
    world.berth.start(wait=False)
    assert world.berth.process.wait(60) == 69
    assert [line for line in world.berth.log_lines() if line["msg"] == "the engine cannot be used, berthd ends"]
    world.engine.start()
    world.berth.start()
    assert world.berth.run("exit 3", network="none")["exit_code"] == 3


@pytest.fixture
def small_engine():
    engine = Engine(disk_mb=96)
    yield engine
    engine.destroy()


def fill(path):
    """To the last byte of its file system."""
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


@pytest.mark.fault("the engine's disk is full", how="a small file system as its data",
                   holds="a clear reason; works again when there is room")
def test_its_disk_is_full(small_engine, new_berth):
    """What runs goes on, what is new ends with the cause in its message, and afterwards all is as before."""
    world = World(new_berth, small_engine)
    filled = small_engine.dir / "data" / "fill"
    runs = world.script("echo up; " + UNTIL_GO + "echo down; exit 6")
    world.signed(runs)
    fill(filled)
    view = world.berth.wait(world.script("echo here; exit 7"))
    assert (view["status"], view["exit_code"]) == ("errored", None), told(view)
    assert "no space left on device" in view["message"], told(view)
    assert world.ledger.executions(view["id"]) == []
    patient = world.script("echo here; exit 8", retry={"max": 20, "delay": "1s", "factor": 1, "on": ["infrastructure"]})
    wait_until(lambda: world.berth.job(patient)["status"] == "retrying", "it is tried again")
    filled.unlink()
    view = world.berth.wait(patient)
    assert (view["reason"], view["exit_code"]) == ("exit_code", 8) and view["attempt"] > 1, told(view)
    assert world.ledger.executions(patient) == [view["attempt"]]
    world.ledger.go()
    view = world.berth.wait(runs)
    assert (view["reason"], view["exit_code"], view["attempt"]) == ("exit_code", 6, 1), told(view)
    assert world.berth.output(runs) == b"up\ndown\n"
    world.destroy()
