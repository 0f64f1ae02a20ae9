"""What a job has used is what it is said to have used, with and without control groups of ours."""
import pathlib

import pytest

from support import wait_until

# 100 MB in memory, and 2 s of CPU: busybox' own loop, ended by the kernel's clock of the process itself.
WORK = ("dd if=/dev/zero of=/dev/shm/x bs=1M count=100 2>/dev/null;"
        " while :; do set -- $(cat /proc/self/stat >/dev/null; cat /proc/$$/stat); [ $(($14 + $15)) -ge 200 ] && break;"
        " i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; done")


@pytest.mark.parametrize("cgroups", ["on", "off"])
def test_at_least_and_less_than_twice(new_berth, cgroups):
    berth = new_berth(BERTH_CGROUPS=cgroups)
    view = berth.run("trap 'exit 3' TERM; " + WORK.replace("$14", "${14}").replace("$15", "${15}"),
                     limits={"memory": "400m", "shm": "200m"}, deadlines={"run": "60s"})
    assert view["status"] == "succeeded", (view, berth.output(view["id"]))
    usage = view["usage"]
    assert 100 << 20 <= usage["memory_peak_bytes"] < 200 << 20, usage
    assert 2 <= usage["cpu_seconds"] < 4, usage
    assert usage["oom_kills"] == 0 and usage["pids_peak"] >= 1


def group_dirs(berth):
    return [p for p in pathlib.Path("/sys/fs/cgroup").glob("*/berth-*") if berth.instance in p.name]


def test_the_groups_are_there_and_go(new_berth):
    berth = new_berth()
    wait_until(lambda: group_dirs(berth), lambda: "this machine allows control groups, so there must be one: " + berth.log()[-1500:])
    job = berth.script("echo up; sleep 600")
    wait_until(lambda: berth.output(job) == b"up\n", "it runs")
    inside = [g / f"{job}.1" for g in group_dirs(berth) if (g / f"{job}.1").is_dir()]
    assert inside, "the attempt has its group"
    pid = int(berth.docker("inspect", "--format", "{{.State.Pid}}", berth.on_engine()[0]))
    assert f"/{job}.1/" in pathlib.Path(f"/proc/{pid}/cgroup").read_text()
    berth.cancel(job, force=True)
    berth.wait(job)
    assert not [g for g in inside if g.exists()]
    berth.stop()
    assert group_dirs(berth), "the next berthd may have taken over the group of the instance already"


def test_a_bomb_of_jobs_leaves_the_gateway_answering(new_berth):
    berth = new_berth(BERTH_SLOTS="12")
    jobs = [berth.script("bomb() { bomb | bomb & }; bomb; while :; do :; done", limits={"pids": 64}, deadlines={"run": "10s"}, stop={"grace": "0s"})
            for _ in range(12)]
    wait_until(lambda: [berth.job(j)["status"] for j in jobs].count("running") >= 8, "most of them rage")
    answered = 0
    while any(not berth.job(j)["finished_at"] for j in jobs):
        assert berth.get("/readyz", timeout=20)
        answered += 1
    assert answered > 5
    for job in jobs:
        assert berth.wait(job)["status"] in ("timed_out", "failed")
    assert berth.on_engine() == []
