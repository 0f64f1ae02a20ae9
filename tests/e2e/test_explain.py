"""Why a job is where it is."""
import datetime

from support import wait_until


def limits(berth, job):
    return [w["limit"] for w in berth.get(f"/v1/jobs/{job}/explain")["waiting_for"]]


def test_what_holds_it(new_berth):
    berth = new_berth(BERTH_SLOTS="1")
    running = berth.script("echo up; sleep 600")
    wait_until(lambda: berth.output(running) == b"up\n", "the slot is taken")
    first, second = berth.script("true"), berth.script("true")
    told = berth.get(f"/v1/jobs/{second}/explain")
    assert told["status"] == "queued" and told["position"] == 2, told
    assert "slots" in limits(berth, first), told
    later = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    scheduled = berth.script("true", run_at=later)
    assert limits(berth, scheduled) == ["run_at"]
    wait_until(lambda: berth.job(running)["status"] == "running", "the engine has said that it started what already writes")
    told = berth.get(f"/v1/jobs/{running}/explain")
    assert told["status"] == "running" and told["position"] is None and told["waiting_for"] == [] and told["next"], told
    for job in (scheduled, second, first, running):
        berth.cancel(job, force=True)
        told = berth.get(f"/v1/jobs/{berth.wait(job)['id']}/explain")
        assert told["waiting_for"] == [] and told["message"]
    berth.stop()
    # Nobody is there to take it: told by the rows alone, so by another Berth on the same database in real life.


def test_the_client_says_it_in_words(new_berth):
    berth = new_berth(BERTH_SLOTS="1")
    running = berth.script("echo up; sleep 600")
    wait_until(lambda: berth.output(running) == b"up\n", "the slot is taken")
    waiting = berth.script("true")
    done = berth.client("explain", waiting, text=True)
    assert done.returncode == 0 and "slot" in done.stdout, done
    for job in (waiting, running):
        berth.cancel(job, force=True)
        berth.wait(job)
