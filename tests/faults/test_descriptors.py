"""Descriptors run out: what there is goes on, what is new waits, nothing ends for it, and all goes on by itself."""
import os
import resource

import pytest

from support import Berth, told, wait_until

FEW, MANY_JOBS = 48, 24


class WithFewDescriptors(Berth):
    """Started with a soft limit that is lower than what it needs, as login shells and service managers do it."""

    def start(self, wait=True):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, hard))
        try:
            super().start(wait=False)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if wait:
            wait_until(self.ready, lambda: f"berthd is ready:\n{self.log()[-3000:]}")


def in_use(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_many_jobs_with_a_low_soft_limit(postgres):
    berth = WithFewDescriptors(postgres, BERTH_SLOTS=str(MANY_JOBS), BERTH_MEMORY="64g")
    try:
        jobs = [berth.script("until [ -e /go ]; do sleep 1; done", limits={"memory": "16m"}, network="none") for _ in range(MANY_JOBS)]
        wait_until(lambda: len(berth.children().get("runner", [])) == MANY_JOBS, "all have a runner at once")
        assert in_use(berth.process.pid) > FEW
        wait_until(lambda: int(berth.sql("select count(*) from berth.jobs where status = 'running'")) == MANY_JOBS, "all run at once")
        for job in jobs:
            berth.cancel(job, force=True)
        for job in jobs:
            assert berth.wait(job)["status"] == "canceled"
        assert "Too many open files" not in berth.log()
    finally:
        berth.destroy()


@pytest.mark.fault("no descriptors left", how="prlimit on parent, gateway, scribe",
                   holds="nothing lost; goes on when there are some")
@pytest.mark.parametrize("role", ["parent", "scribe"])
def test_none_left(new_berth, role):
    berth = new_berth(BERTH_SLOTS="8")
    old = berth.script("i=0; while [ $i -lt 100 ]; do echo $i; i=$((i+1)); sleep 0.1; done")
    wait_until(lambda: berth.output(old), "it writes")
    pid = berth.process.pid if role == "parent" else berth.children()["scribe"][0]
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (in_use(pid) + 1, usual[1]))
    jobs = [berth.script(f"echo {n}; exit {n}") for n in range(6)]
    wait_until(lambda: "Too many open files" in berth.log(), "there are none left")
    assert (berth.wait(old)["status"], berth.output(old)) == ("succeeded", b"".join(b"%d\n" % i for i in range(100)))
    assert berth.get("/healthz")["status"] == "ok" and berth.process.poll() is None
    resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
    for n, job in enumerate(jobs):
        view = berth.wait(job)
        assert (view["status"], view["exit_code"], view["attempt"]) == ("failed" if n else "succeeded", n, 1), told(view)
        assert berth.output(job) == b"%d\n" % n and view["log"]["complete"]
