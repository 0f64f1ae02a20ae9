"""Libc, libpq and engine calls of the runner and of the scribe fail once, by chance, under a whole berthd. All of them
fail without one: test_torture_all.py."""
import os
import signal

import pytest

from support import BUILD, wait_until
from torture import Torture, TorturedBerth

SAMPLE, SAMPLE_LONG = 8, 100  # of each program
SCRIPT = "cat; echo told >&2; exit 7"
INPUT = {"a": [1, 2, 3]}
OUTPUT = b'{"a":[1,2,3]}\ntold\n'
PROGRAMS = {"runner": (BUILD / "runner" / "berth-runner", "berth-runner --attempt"),
            "scribe": (BUILD / "orchestrator" / "berthd", "berthd scribe")}


def new_scribe(berth):
    """The order of a process is read when it begins."""
    [old] = wait_until(lambda: berth.children().get("scribe"), "there is a scribe")
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: berth.children().get("scribe", [old]) not in ([old], []), "another scribe is started")


def run_job(berth, program):
    if program == "scribe":
        new_scribe(berth)
    job = berth.script(SCRIPT, input=INPUT, network="none")
    view = berth.wait(job)
    wait_until(lambda: not list((berth.state / "attempts").glob(f"{job}*")), "its directory is removed")
    return view, sorted(berth.output(job).splitlines(keepends=True))


def wrong(view, output, berth):
    seen = {key: view[key] for key in ("status", "reason", "exit_code", "attempt", "message")}
    if (view["status"], view["reason"], view["exit_code"], view["attempt"]) != ("failed", "exit_code", 7, 1):
        return seen
    if output != sorted(OUTPUT.splitlines(keepends=True)) or not view["log"]["complete"]:
        return output, view["log"]
    return berth.on_engine() or None


@pytest.fixture
def tortured(postgres, tmp_path):
    made = []

    def make(program):
        tmp_path.chmod(0o777)
        made.append(TorturedBerth(postgres, Torture(tmp_path, *PROGRAMS[program]), BERTH_SLOTS="2"))
        return made[-1]

    yield make
    for berth in made:
        berth.torture.rest()
        berth.destroy()


@pytest.mark.fault("one call of runner or scribe fails", how="libc, libpq and curl calls, by the seed",
                   holds="no crash, no leak, no lost job")
@pytest.mark.parametrize("program", PROGRAMS)
def test_one_call_fails_and_the_job_ends_as_ever(tortured, program, long, dice):
    berth = tortured(program)
    berth.torture.give("count")
    assert not wrong(*run_job(berth, program), berth)
    points = berth.torture.points()
    assert len(points) > 200, "the library counts"
    only = os.environ.get("BERTH_TORTURE_ONLY")  # the points of one call
    half = (SAMPLE_LONG if long else SAMPLE) // 2
    chosen = [p for p in points if p.call == only] if only else [
        *dice.sample([p for p in points if p.how == "ENOMEM"], half),
        *dice.sample([p for p in points if p.how != "ENOMEM"], half)]
    failures, met = [], 0
    for point in chosen:
        berth.torture.give(point.order)
        try:
            what = wrong(*run_job(berth, program), berth)
        except AssertionError as e:  # the others are of interest all the same
            what = str(e)[:200]
        met += berth.torture.fired()
        if what:
            failures.append(f"{berth.torture.explain(point)}: {what}")
    print(f"{program}: {len(chosen)} of {len(points)} points, {met} met again, {len(failures)} failures")
    assert not failures, "\n".join(failures)
    assert met > len(chosen) // 2, "most points are met again"
