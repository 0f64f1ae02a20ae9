"""kill -9 of the parent: running jobs run on, and all of them are supervised again, end truly, and have their whole log."""
import itertools
import json
import subprocess

import pytest
from invariants import LEDGER, Expected, Strangers, check, containers
from mortal import Mortal

from support import IMAGE, TERMINAL, wait_until

RUNNING = 20
# Writes numbered lines until it is told to end, then tells us how many there were.
WRITER = LEDGER + """i=0
until [ -e /host/release ]; do i=$((i+1)); echo line $i; sleep 0.1; done
echo $i >/host/count-$BERTH_JOB_ID
exit {code}
"""
SHORT = LEDGER + "echo begun; sleep 0.{pause}; echo done; exit {code}"


@pytest.fixture
def berth(postgres):
    made = Mortal(postgres, BERTH_SLOTS=str(RUNNING + 8), BERTH_DEFAULT_MEMORY="64m")
    yield made
    made.destroy()


@pytest.fixture
def strangers(berth):
    made = Strangers(berth.instance)
    yield made
    made.destroy()


def end_of(code, output):
    return Expected("failed" if code else "succeeded", "exit_code" if code else "completed", code, [{"stdout": output}])


def begin_writers(berth):
    """{job: exit code}, when all of them write."""
    jobs = {berth.script(WRITER.format(code=n)): n for n in range(RUNNING)}
    for job in jobs:
        wait_until(lambda: berth.output(job, "?tail=1"), lambda: f"{job} writes: {berth.log()[-3000:]}")
    return jobs


def end_writers(berth, jobs):
    """{job: Expected}: what each has written, it says itself."""
    (berth.bound / "release").touch()
    counts = {job: berth.bound / f"count-{job}" for job in jobs}
    for job, path in counts.items():
        wait_until(lambda: path.exists() and path.read_text().endswith("\n"), f"{job} has written its last line")
    lines = lambda count: b"".join(b"line %d\n" % i for i in range(1, count + 1))
    return {job: end_of(code, lines(int(counts[job].read_text()))) for job, code in jobs.items()}


def await_ends(berth, jobs):
    for job in jobs:
        wait_until(lambda: berth.job(job)["status"] in TERMINAL, lambda: f"{job} ends: {berth.log()[-3000:]}")


@pytest.mark.fault("kill -9 of berthd under 20 running jobs", how="kill(2), and a restart",
                   holds="all supervised again; ends true, logs byte-identical, nothing left; recovery is until all are supervised")
def test_twenty_jobs_are_supervised_again(berth, strangers, recovery):
    jobs = begin_writers(berth)
    names = {f"{job}.1" for job in jobs}
    before = {name: berth.runner_of(name) for name in names}
    berth.kill()
    wait_until(lambda: not berth.supervised(), "its runners have died with it")
    assert len(containers(berth)) == RUNNING, "their containers have not"
    with recovery():
        berth.start(wait=False)
        wait_until(lambda: berth.supervised() >= names, lambda: f"all are supervised again: {berth.log()[-3000:]}", every=0.01)
    assert not {berth.runner_of(name) for name in names} & set(before.values())
    wait_until(berth.ready, "it answers")
    for job in jobs:
        assert berth.job(job)["status"] == "running"
    expected = end_writers(berth, jobs)
    await_ends(berth, jobs)
    check(berth, expected, [strangers])


@pytest.mark.fault("kill -9 of berthd again and again", how="8 kills at random moments of 12 s (long: 50 of 60 s) under 20 writing jobs, with short "
                   "ones coming in by SQL", holds="every job was started once and ended once; logs byte-identical, nothing left")
def test_kills_at_random_moments(berth, strangers, dice, long):
    """Short jobs come in all the time, by SQL, which needs no berthd; twenty writers live through all of it."""
    kills, seconds = (50, 60) if long else (8, 12)
    jobs = begin_writers(berth)
    expected, numbers = {}, itertools.count(1)
    for _ in range(kills):
        for _ in range(dice.randint(0, 3)):
            code = next(numbers) % 100
            spec = {"image": IMAGE, "script": SHORT.format(pause=dice.randint(0, 9), code=code),
                    "mounts": [{"type": "bind", "source": str(berth.bound), "target": "/host"}]}
            job = berth.sql(f"select berth.submit($spec${json.dumps(spec)}$spec$::jsonb)")
            expected[job] = end_of(code, b"begun\ndone\n")
        with pytest.raises(subprocess.TimeoutExpired):  # it does not end by itself
            berth.process.wait(dice.uniform(0, 2 * seconds / kills))
        berth.kill()
        berth.start(wait=False)
    wait_until(berth.ready, "it answers")
    expected.update(end_writers(berth, jobs))
    await_ends(berth, expected)
    check(berth, expected, [strangers])
