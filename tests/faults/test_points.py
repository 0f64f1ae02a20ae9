"""kill -9 at every fault point there is (proto/fault_points.h): each job runs once, ends once and truly, and nothing is left over.

Short form: all points, dealt into a few Berths by the seed, so that deaths meet. Long form: each point in a Berth of its own."""
import concurrent.futures
import contextlib

import pytest
from invariants import Strangers, check
from mortal import NEVER, Mortal, fault_points
from registry import Registry
from round import Round

AT_ONCE = 2
GROUPS = 4
# A round passes these only when something has died before.
COMPANY = {"parent.fetched": "parent.claimed"}
LATEST_PASS = 12
# One death can keep a runner from the point of another's; the next round passes it again.
ROUNDS_MAX = 3


@pytest.fixture(scope="module")
def registry():
    made = Registry()
    yield made
    made.destroy()


class Stage:
    def __init__(self, postgres, registry):
        self.postgres, self.image = postgres, registry.push("points")

    def play(self, faults):
        """A round with these faults; gives back how often each point was passed."""
        berth = Mortal(self.postgres, faults)
        strangers = Strangers(berth.instance)
        try:
            expected = {}
            for number in range(1, ROUNDS_MAX + 1):
                part = Round(berth, self.image, number)
                part.play()
                expected.update(part.expected)
                if not berth.left_to_kill():
                    break
            check(berth, expected, [strangers])
            check_deaths(berth)
            passes = {point: len(berth.passed(point)) for point in faults}
        except BaseException:
            with contextlib.suppress(AssertionError):
                berth.destroy()
            raise
        finally:
            strangers.destroy()
        berth.destroy()
        return passes


def check_deaths(berth):
    """Every point that was to kill has killed: its process is dead, and its end was seen by its parent, or by us."""
    seen = berth.obituaries() | set(berth.deaths)
    for point in berth.to_kill():
        pid = berth.killed_at(point)
        assert pid, f"{point} was passed {len(berth.passed(point))} times, not {berth.faults[point]}"
        assert not berth.lives(pid), f"{pid} lives on behind {point}"
        # Where parent and child die in one moment, nobody is left to write the obituary.
        assert pid in seen or (berth.deaths and len(berth.faults) > 1), f"nobody saw {pid} die at {point}"


@pytest.fixture(scope="module")
def stage(postgres, registry):
    return Stage(postgres, registry)


@pytest.fixture(scope="module")
def passes(stage):
    """How often a round without a death passes each point."""
    return stage.play({point: NEVER for point in fault_points()})


def arm(points, passes, dice):
    faults = {point: dice.randint(1, max(1, min(passes[point] // 2, LATEST_PASS))) for point in points}
    for point in points:
        if point in COMPANY:
            faults.setdefault(COMPANY[point], 1)
    return faults


def test_there_are_points_and_a_round_passes_them_all(passes):
    assert len(passes) >= 25
    assert {point for point, times in passes.items() if not times} <= set(COMPANY)


@pytest.mark.fault("kill -9 at every numbered fault point of parent, runner, scribe and reaper",
                   how="BERTH_FAULT kills the process that passes the point as the N-th (N by the seed), under jobs of every kind, with a retry, a "
                       "cancel, a later deadline, planted orphans, a TERM with adoption and a QUIT",
                   holds="every attempt was started once, every job ended once and as it had to; logs byte-identical and complete; nothing left, "
                         "nothing of others touched")
def test_nothing_is_lost_at_any_point(stage, passes, dice, long):
    points = list(fault_points())
    dice.shuffle(points)
    groups = [[point] for point in points] if long else [points[i::GROUPS] for i in range(GROUPS)]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        plays = {pool.submit(stage.play, faults): faults for faults in [arm(group, passes, dice) for group in groups]}
        failures = []
        for done in concurrent.futures.as_completed(plays):
            if done.exception():
                failures.append(f"{plays[done]}: {done.exception()}")
        assert not failures, "\n\n".join(failures)
