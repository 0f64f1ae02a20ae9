"""Every libc, libpq and engine call of the runner and of the scribe fails once, under a whole berthd; and in the long
form all of those that the programs' own tests take a sample of."""
import os
import signal
import subprocess

import pytest

from support import BUILD, wait_until
from torture import Torture, TorturedBerth

SAMPLE = 8  # of each program
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


@pytest.mark.fault("one call of runner or scribe fails", how="libc, libpq and curl calls, by the seed (long: all)",
                   holds="no crash, no leak, no lost job")
@pytest.mark.parametrize("program", PROGRAMS)
def test_one_call_fails_and_the_job_ends_as_ever(tortured, program, long, dice):
    berth = tortured(program)
    berth.torture.give("count")
    assert not wrong(*run_job(berth, program), berth)
    points = berth.torture.points()
    assert len(points) > 200, "the library counts"
    only = os.environ.get("BERTH_TORTURE_ONLY")  # the points of one call
    chosen = [p for p in points if p.call == only] if only else points if long else [
        *dice.sample([p for p in points if p.how == "ENOMEM"], SAMPLE // 2),
        *dice.sample([p for p in points if p.how != "ENOMEM"], SAMPLE // 2)]
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


@pytest.mark.parametrize("name", ["test_torture_runner", "test_torture_scribe"])
def test_all_points_without_berthd(name, long):
    if not long:
        pytest.skip("its short form is one of the integration tests")
    done = subprocess.run([str(BUILD / "tests" / "integration" / name), "--verbose=0"], capture_output=True, text=True,
                          errors="replace", env={**os.environ, "BERTH_TORTURE_POINTS": "all"}, timeout=4 * 3600)
    told = "\n".join(line for line in done.stderr.splitlines() if line.startswith(("torture:", "  ", "[")))
    print(told)
    assert done.returncode == 0, told
