"""Jobs of one key never overlap, whoever dies."""
import os
import random
import signal

import pytest

from support import HttpError, told, wait_until

# Each job writes down its begin and end in a volume that all of them share; mkdir is the judge of an overlap.
BODY = ("mkdir /shared/inside || { echo overlap >>/shared/log; exit 9; }; echo begin $0 >>/shared/log; sleep 0.3;"
        " echo end $0 >>/shared/log; rmdir /shared/inside")


def shared(name):
    return [{"type": "volume", "source": name, "target": "/shared"}]


def test_never_two_at_once_under_a_parent_that_is_killed(new_berth):
    berth = new_berth(BERTH_SLOTS="8")
    key = {"key": "deploy", "max": 1}
    jobs = [berth.script(BODY, concurrency=key, mounts=shared("overlap")) for _ in range(12)]
    seed = random.randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)
    for _ in range(4):
        done = len([j for j in jobs if berth.job(j)["finished_at"]])
        wait_until(lambda: len([j for j in jobs if berth.job(j)["finished_at"]]) > done or done == len(jobs), "the next one ends")
        wait_until(lambda: dice.random() < 0.2, "a random moment")
        os.kill(berth.process.pid, signal.SIGKILL)
        berth.process.wait()
        berth.start()
    for job in jobs:
        view = berth.wait(job)
        assert view["status"] == "succeeded", told(view)
    told = berth.run("cat /shared/log", mounts=shared("overlap"))
    lines = berth.output(told["id"]).split()
    assert b"overlap" not in lines and lines.count(b"begin") == lines.count(b"end") == 12


def test_max_and_other_keys(berth):
    jobs = [berth.script("echo up; sleep 600", concurrency={"key": "pair", "max": 2}) for _ in range(3)]
    wait_until(lambda: [berth.job(j)["status"] for j in jobs] == ["running", "running", "queued"], "two of three run")
    assert berth.run("echo other key", concurrency={"key": "other"})["status"] == "succeeded", "one that waits holds up nobody else"
    explained = berth.get(f"/v1/jobs/{jobs[2]}/explain")
    assert explained["waiting_for"][0]["limit"] == "concurrency" and "pair" in explained["waiting_for"][0]["detail"], explained
    berth.cancel(jobs[0], force=True)
    wait_until(lambda: berth.job(jobs[2])["status"] == "running", "the third takes the place")
    for job in jobs[1:]:
        berth.cancel(job, force=True)
        berth.wait(job)


def test_reject(berth):
    key = {"key": "only-one", "on_conflict": "reject"}
    job = berth.script("echo up; sleep 600", concurrency=key)
    with pytest.raises(HttpError) as error:
        berth.script("echo never", concurrency=key)
    assert error.value.status == 409 and job in error.value.problem["detail"], error.value.problem
    berth.cancel(job, force=True)
    berth.wait(job)
    assert berth.run("echo free again", concurrency=key)["status"] == "succeeded"


def test_cancel_running_ends_those_that_wait_too(new_berth):
    berth = new_berth(BERTH_SLOTS="1")
    key = {"key": "newest", "on_conflict": "cancel_running"}
    blocker = berth.script("echo up; sleep 600")
    wait_until(lambda: berth.output(blocker) == b"up\n", "the slot is taken")
    jobs = [berth.script("echo $0", concurrency=key) for _ in range(3)]
    for job in jobs[:2]:
        view = berth.wait(job)
        assert (view["status"], view["reason"], view["started_at"]) == ("canceled", "superseded", None), told(view)
        assert jobs[1] in view["message"] or jobs[2] in view["message"]
    berth.cancel(blocker, force=True)
    assert berth.wait(jobs[2])["status"] == "succeeded"


def test_the_same_by_sql(berth):
    spec = '{"image": "%s", "command": ["sleep", "1"], "concurrency": {"key": "sql"}}' % os.environ.get("BERTH_TEST_IMAGE", "berth-test-busybox")
    jobs = [berth.sql(f"select berth.submit('{spec}'::jsonb)") for _ in range(3)]
    for job in jobs:
        assert berth.wait(job)["status"] == "succeeded"
    overlaps = berth.sql("select count(*) from berth.attempts a join berth.attempts b on a.job_id < b.job_id"
                         " and a.container_at < b.exited_at and b.container_at < a.exited_at"
                         f" where a.job_id in ('{jobs[0]}', '{jobs[1]}', '{jobs[2]}') and b.job_id in ('{jobs[0]}', '{jobs[1]}', '{jobs[2]}')")
    assert overlaps == "0"
