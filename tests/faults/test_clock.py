"""Somebody sets the clock of berthd's machine, back or forth, while the database's and the engine's go on: nothing expires, no
deadline moves, and what lies in the past or future by the wall clock is not judged by it."""
import calendar
import pathlib
import shutil
import struct
import subprocess
import tempfile
import time

import pytest

from support import Berth, told, wait_until

HOUR_S, YEARS_S = 3600, 10 * 365 * 86400
SWEEP_S = 10
OVERDUE_S = 60  # CLAIM_OVERDUE_MS: nobody is called late before
HERE = pathlib.Path(__file__).parent


class Skewed(Berth):
    """Each of its processes reads the wall clock with an error that can be changed."""

    def __init__(self, postgres, offset_s, **settings):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="berth-clock-", dir="/tmp"))
        self.place.chmod(0o755)  # the gateway is another user
        self.clock, shim = self.place / "offset", self.place / "fake_clock.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", shim, HERE / "fake_clock.c"], check=True)
        self.clock.write_bytes(struct.pack("q", offset_s))
        super().__init__(postgres, LD_PRELOAD=str(shim), FAKE_CLOCK_FILE=str(self.clock), **settings)

    def environment(self):
        env = super().environment()
        return {**env, "ASAN_OPTIONS": env["ASAN_OPTIONS"] + ":verify_asan_link_order=0"}

    def set(self, offset_s):
        with open(self.clock, "r+b") as file:
            file.write(struct.pack("q", offset_s))

    def off_by(self):
        """Seconds by which each process was off from our clock when it began to log, by role."""
        now, first = time.time(), {}
        for line in self.log_lines():
            first.setdefault(line["role"], calendar.timegm(time.strptime(line["ts"][:19], "%Y-%m-%dT%H:%M:%S")) - now)
        return first

    def destroy(self):
        super().destroy()
        shutil.rmtree(self.place)


@pytest.fixture
def skewed(postgres):
    made = []

    def make(offset_s, **settings):
        made.append(Skewed(postgres, offset_s, BERTH_REAP_INTERVAL=f"{SWEEP_S}s", BERTH_LEASE="3s", **settings))
        return made[-1]
    yield make
    for berth in made:
        berth.destroy()


def sweeps(berth):
    """Containers that the reaper has done away with, or called overdue."""
    return [line for line in berth.log_lines() if "orphan" in line["msg"] or "past its run deadline" in line["msg"]]


@pytest.mark.fault("the host's clock is wrong", how="an hour fast, an hour slow, ten years fast",
                   holds="deadlines and leases as ever")
@pytest.mark.parametrize("offset_s, lasts_s", [(-HOUR_S, OVERDUE_S + 15), (HOUR_S, 2 * SWEEP_S + 5), (YEARS_S, 2 * SWEEP_S + 5)],
                         ids=["an hour slow", "an hour fast", "ten years fast"])
def test_clock_is_wrong_from_the_start(skewed, offset_s, lasts_s):
    """Neither the parent, which asks the database for overdue jobs each second, nor the reaper takes this one for late, nor
    what is being made just now for old."""
    berth = skewed(offset_s)
    job = berth.script(f"echo begun; sleep {lasts_s}; echo done", deadlines={"run": "90s"})
    half_made = berth.state / "attempts" / f".{job}.9"
    half_made.mkdir()
    late = berth.script("sleep 600", deadlines={"run": "5s"})
    view = berth.wait(late)
    off = berth.off_by()
    assert {"parent", "gateway", "runner"} <= off.keys() and all(abs(by - offset_s) < 600 for by in off.values()), off
    assert (view["status"], view["reason"]) == ("timed_out", "run_deadline"), told(view)
    view = berth.wait(job)
    assert (view["status"], view["attempt"], berth.output(job)) == ("succeeded", 1, b"begun\ndone\n"), told(view)
    assert not sweeps(berth)
    half_made.rmdir()


def test_clock_jumps(skewed):
    berth = skewed(0)
    held = "i=0; while [ $i -lt 120 ]; do echo $i; i=$((i+1)); sleep 0.25; done"
    jobs = [berth.script(held, deadlines={"run": "10m", "idle": "30s"}) for _ in range(3)]
    served = berth.script(held, services=[{"name": "db", "image": "berth-test-busybox", "command": ["sh", "-c", "sleep 2; exec httpd -f -p 80"],
                                           "ready": {"tcp": 80}, "deadline": "40s"}])
    queued = berth.submit("true", run_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 10 * HOUR_S)))
    wait_until(lambda: all(berth.output(job, "?stream=stdout") for job in [*jobs, served]), "all of them write")
    for offset_s in (HOUR_S, -HOUR_S, YEARS_S, 0):
        berth.set(offset_s)
        before = len(berth.output(jobs[0]))
        wait_until(lambda: len(berth.output(jobs[0])) > before + 20, "logs go on")
        assert {berth.job(job)["status"] for job in [*jobs, served]} == {"running"}
        assert berth.job(queued)["status"] == "scheduled"
        assert berth.ready()
    for job in [*jobs, served]:
        view = berth.wait(job)
        assert (view["status"], view["attempt"]) == ("succeeded", 1), told(view)
        assert berth.output(job, "?stream=stdout") == b"".join(b"%d\n" % i for i in range(120)) and view["log"]["complete"]
    assert not sweeps(berth)
