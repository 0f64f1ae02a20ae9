"""Another attempt where the job asks for one: its own log, its own end, after the delay that was asked for."""
import datetime
import os
import signal

import pytest

from support import IMAGE, HttpError, docker, told, wait_until

# A volume of the job's own counts the attempts; what a test needs of a memory outside of the container.
COUNT = "n=$(cat /count/n 2>/dev/null || echo 0); n=$((n+1)); echo $n >/count/n; echo attempt $n of $BERTH_ATTEMPT; "


def counting(name):
    return [{"type": "volume", "source": name, "target": "/count"}]


def at(text):
    return datetime.datetime.fromisoformat(text[:19]).timestamp() + float("0" + text[19:-1])


def attempts(berth, job):
    rows = berth.sql("select number, status, coalesce(reason, ''), coalesce(exit_code::text, ''), extract(epoch from claimed_at),"
                     f" extract(epoch from finished_at) from berth.attempts where job_id = '{job}' order by number")
    return [row.split("|") for row in rows.splitlines()]


def test_twice_75_then_0(berth):
    view = berth.run(COUNT + "[ $n -lt 3 ] && exit 75; exit 0", mounts=counting("twice"),
                     retry={"max": 5, "delay": "1s", "factor": 3, "max_delay": "2s", "exit_codes": [75]})
    assert (view["status"], view["exit_code"], view["attempt"]) == ("succeeded", 0, 3), told(view)
    rows = attempts(berth, view["id"])
    assert [(r[0], r[1], r[2], r[3]) for r in rows] == [("1", "failed", "exit_code", "75"), ("2", "failed", "exit_code", "75"),
                                                          ("3", "succeeded", "", "0")]
    earlier = view["earlier_attempts"]
    assert [(e["attempt"], e["status"], e["reason"], e["exit_code"], e["log"]["bytes"]) for e in earlier] == [
        (1, "failed", "exit_code", 75, 15), (2, "failed", "exit_code", 75, 15)], earlier
    assert all("75" in e["message"] and e["usage"]["cpu_seconds"] > 0 and e["log"]["complete"] and e["finished_at"] > e["started_at"]
               for e in earlier), earlier
    # 1 s, then 3 s capped at 2 s; never early (finished_at is the host's clock, claimed_at the database's: one machine here).
    assert float(rows[1][4]) - float(rows[0][5]) >= 0.99 and float(rows[2][4]) - float(rows[1][5]) >= 1.99
    for n in (1, 2, 3):
        assert berth.output(view["id"], f"?attempt={n}") == b"attempt %d of %d\n" % (n, n)
    assert berth.output(view["id"]) == b"attempt 3 of 3\n"


def test_the_last_attempts_end_is_the_jobs(berth):
    view = berth.run("echo $BERTH_ATTEMPT; exit 9", retry={"max": 1, "delay": "100ms"})
    assert (view["status"], view["reason"], view["exit_code"], view["attempt"]) == ("failed", "exit_code", 9, 2), told(view)
    assert view["message"] == "The command ended with exit code 9. This was attempt 2 of 2."
    assert [e["attempt"] for e in view["earlier_attempts"]] == [1]
    assert berth.run("true")["earlier_attempts"] == []


@pytest.mark.parametrize("rule, script, more", [
    ({"on": ["infrastructure"]}, "exit 1", False),
    ({"on": ["oom"]}, "exit 1", False),
    ({"on": ["exit_code"]}, "exit 1", True),
    ({"on": ["failed"]}, "exit 1", True),
    ({"exit_codes": [2]}, "exit 1", False),
    ({"exit_codes": [2], "on": ["signal"]}, "kill -9 $$", True),
    ({"on": ["timed_out"]}, "sleep 600", True),
    ({"on": ["run_deadline"]}, "sleep 600", True),
])
def test_what_is_repeated(berth, rule, script, more):
    view = berth.run(script, retry={"max": 1, "delay": "100ms", **rule}, deadlines={"run": "1s"}, stop={"grace": "100ms"})
    assert view["attempt"] == (2 if more else 1), told(view)


def test_a_container_removed_by_hand_is_infrastructure(berth):
    job = berth.script("echo up $BERTH_ATTEMPT; [ $BERTH_ATTEMPT = 2 ] || sleep 600", retry={"max": 1, "delay": "100ms", "on": ["infrastructure"]})
    wait_until(lambda: berth.output(job) == b"up 1\n", "it runs")
    docker("rm", "-f", *[n for n in berth.on_engine() if job in n])
    view = berth.wait(job)
    assert (view["status"], view["attempt"]) == ("succeeded", 2), told(view)
    assert attempts(berth, job)[0][1:3] == ["errored", "container_removed"]


def test_cancel_while_it_waits_holds(berth):
    job = berth.script("exit 1", retry={"max": 5, "delay": "1h"})
    view = wait_until(lambda: (lambda v: v["status"] == "retrying" and v)(berth.job(job)), "it waits for its next attempt")
    assert view["reason"] == "exit_code" and "2" in view["message"], told(view)
    assert berth.cancel(job) == 202
    view = berth.wait(job)
    assert (view["status"], view["reason"], view["attempt"]) == ("canceled", "requested", 1), told(view)
    assert view["message"].startswith("The job was canceled before its next attempt. Attempt 1 of 6 ended as failed (exit_code): "), told(view)
    with pytest.raises(HttpError):
        berth.cancel(job)


def test_cancel_while_it_runs_is_the_end(berth):
    job = berth.script("echo up; exec sleep 600", retry={"max": 5, "delay": "100ms"})
    wait_until(lambda: berth.output(job) == b"up\n", "it runs")
    berth.cancel(job)
    view = berth.wait(job)
    assert (view["status"], view["attempt"]) == ("canceled", 1), told(view)


def test_the_wait_survives_a_restart_of_berthd(new_berth):
    berth = new_berth()
    job = berth.script("echo $BERTH_ATTEMPT; [ $BERTH_ATTEMPT = 2 ]", retry={"max": 1, "delay": "3s"})
    wait_until(lambda: berth.job(job)["status"] == "retrying", "it waits")
    berth.stop(signal.SIGKILL)
    berth.start()
    view = berth.wait(job)
    assert (view["status"], view["attempt"]) == ("succeeded", 2), told(view)


def test_a_job_for_later(berth):
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
    job = berth.script("echo now", run_at=soon.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert berth.job(job)["status"] == "scheduled"
    view = berth.wait(job)
    assert view["status"] == "succeeded" and at(view["started_at"]) >= int(soon.timestamp()), told(view)


def test_retry_by_hand_is_a_new_job(berth):
    first = berth.run("echo again; exit 4")
    status, headers, body = berth.request("POST", f"/v1/jobs/{first['id']}/retry")
    import json
    again = json.loads(body)
    assert status == 201 and headers["Location"] == f"/v1/jobs/{again['id']}" and again["id"] != first["id"]
    assert again["links"]["retry_of"] == f"/v1/jobs/{first['id']}"
    view = berth.wait(again["id"])
    assert (view["status"], view["exit_code"]) == ("failed", 4)
    running = berth.script("sleep 600")
    with pytest.raises(HttpError) as error:
        berth.request("POST", f"/v1/jobs/{running}/retry")
    assert error.value.status == 409
    berth.cancel(running, force=True)
    berth.wait(running)


def test_a_viewer_sees_attempt_after_attempt(berth):
    job = berth.script("echo this is $BERTH_ATTEMPT; [ $BERTH_ATTEMPT = 2 ]", retry={"max": 1, "delay": "1s"})
    messages = berth.messages(job, "?follow=true")
    kinds = [m["type"] for m in messages]
    text = "".join(m.get("text", "") for m in messages)
    assert text == "this is 1\nthis is 2\n" and kinds[-1] == "end" and "attempt" in kinds, messages
    second = messages[kinds.index("attempt"):]
    assert second[0]["attempt"] == 2 and [m["offset"] for m in second if m["type"] == "log"][0] == 0
