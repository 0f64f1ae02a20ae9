"""A running job gets more time."""
import os
import signal

import pytest

from support import HttpError, told, wait_until


def extend(berth, job, run):
    import json
    return json.loads(berth.request("POST", f"/v1/jobs/{job}/extend", {"run": run})[2])


def test_it_outlives_its_first_deadline(berth):
    job = berth.script("echo up; sleep 5; echo still here", deadlines={"run": "3s"})
    wait_until(lambda: berth.job(job)["deadline_at"], "its deadline is known")
    before = berth.job(job)["deadline_at"]
    after = extend(berth, job, "1m")["deadline_at"]
    assert after > before
    view = berth.wait(job)
    assert view["status"] == "succeeded" and berth.output(job) == b"up\nstill here\n", told(view)


def test_it_ends_at_the_new_one_and_says_so_even_with_another_runner(berth):
    job = berth.script("echo up; exec sleep 600", deadlines={"run": "3s"})
    wait_until(lambda: berth.job(job)["deadline_at"], "its deadline is known")
    extend(berth, job, "3s")
    wait_until(lambda: any("extended" in p.read_text() for p in berth.state.glob(f"attempts/{job}.1/journal")), "the runner knows")
    os.kill(berth.children()["runner"][0], signal.SIGKILL)
    view = berth.wait(job)
    assert (view["status"], view["reason"]) == ("timed_out", "run_deadline"), told(view)
    assert "6s" in view["message"], told(view)


def test_who_cannot_be_extended(new_berth):
    berth = new_berth(BERTH_SLOTS="1", BERTH_MAX_RUN="1h")
    job = berth.script("echo up; sleep 600")
    queued = berth.script("true")
    wait_until(lambda: berth.job(job)["deadline_at"], "its deadline is known")
    for target, body, status in ((queued, {"run": "1m"}, 409), (job, {"run": "2h"}, 422), (job, {"run": "0s"}, 422), (job, {"walk": "1m"}, 422)):
        with pytest.raises(HttpError) as error:
            berth.request("POST", f"/v1/jobs/{target}/extend", body)
        assert error.value.status == status, error.value.problem
    for one in (job, queued):
        berth.cancel(one, force=True)
        berth.wait(one)
