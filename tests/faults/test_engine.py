"""The Docker Engine is killed, ended, stopped and started again under running jobs."""
import signal
import time

import pytest

from engine_world import FLOOD, UNTIL_GO, Engine, World, told
from support import IMAGE, wait_until

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
        assert world.berth.output(job) == b"here\n", told(view)
        runs = world.ledger.executions(job)
        assert runs == ([view["attempt"]] if long else [1]), (runs, told(view))
    assert len(world.ledger.lines()) == len(set(world.ledger.lines()))
