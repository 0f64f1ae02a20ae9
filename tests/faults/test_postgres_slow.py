"""PostgreSQL is far away, or its answer is lost: results stay true, and nothing happens twice."""
import concurrent.futures
import json
import signal
import uuid

import pytest

from outage import Chatter, behind, chatters, cluster  # noqa: F401
from support import IMAGE, HttpError, told, wait_until


@pytest.mark.fault("PostgreSQL is slow", how="latency, one byte at a time",
                   holds="no storm, true results")
@pytest.mark.parametrize("lane", [{"latency_s": 0.2}, {"slice_bytes": 1}, {"bytes_per_s": 20_000}], ids=str)
def test_slow(behind, lane):
    for name, value in lane.items():
        setattr(behind.proxy.up, name, value)
        setattr(behind.proxy.down, name, value)
    for job in [Chatter(behind, n, 20, 0.1) for n in range(3)]:
        job.check()


@pytest.mark.fault("the answer to a COMMIT is lost", how="a proxy cuts behind it",
                   holds="no double claim, no double log, no lost end")
@pytest.mark.parametrize("who, statement", [
    ("scribe", rb"commit"), ("scribe", rb"begin"), ("scribe", rb"log_sha_state = \$8"),
    ("parent", rb"insert into berth\.attempts"), ("parent", rb"heartbeat_at = now\(\)"),
], ids=lambda value: value if isinstance(value, str) else value.decode())
def test_answer_lost(behind, who, statement):
    """The server did it, but nobody heard: nothing happens twice."""
    jobs = chatters(behind, 3, 60, 0.1)
    for n in range(3, 6):
        cut = behind.proxy.cut_after(statement, who=b":" + who.encode())
        jobs.append(Chatter(behind, n, 20, 0.1))
        wait_until(cut.done.is_set, "the connection was cut")
    for job in jobs:
        job.check()
    attempts = behind.sql("select job_id, count(*) from berth.attempts group by 1 having count(*) > 1")
    ends = behind.sql("select job_id from berth.events where status in ('succeeded', 'failed', 'errored', 'canceled', 'timed_out')"
                      " group by 1 having count(*) > 1")
    assert (attempts, ends) == ("", ""), "claimed once, ended once"
    assert int(behind.sql("select count(*) from berth.attempts")) == len(jobs)


@pytest.mark.fault("the answer to a client's INSERT is lost", how="a proxy cuts behind it", holds="503 says that it is not known whether the job was taken; "
                   "with its Idempotency-Key the repetition finds it")
def test_whether_a_job_was_taken_is_not_known(behind):
    once = {"Idempotency-Key": '"once"'}
    job = {"image": IMAGE, "name": "once", "command": ["true"]}
    cut = behind.proxy.cut_after(rb"insert into berth\.jobs", who=b":gateway")
    with pytest.raises(HttpError) as refused:
        behind.request("POST", "/v1/jobs", job, once)
    assert cut.done.is_set() and refused.value.status == 503, refused.value
    assert "not known" in refused.value.problem["detail"] and "Idempotency-Key" in refused.value.problem["detail"], refused.value
    behind.request("POST", "/v1/jobs", job, once)
    assert behind.sql("select count(*) from berth.jobs where name = 'once'") == "1"
    nobody = str(uuid.uuid4())
    cut = behind.proxy.cut_after(nobody.encode(), who=b":gateway")
    with pytest.raises(HttpError) as asked:
        behind.get(f"/v1/jobs/{nobody}")
    assert cut.done.is_set() and asked.value.status == 503, asked.value
    assert "not known" not in asked.value.problem["detail"], "a question changes nothing"


@pytest.mark.fault("PostgreSQL goes away while a client waits for the job that it has put in", how="a proxy refuses all connections",
                   holds="the job is told as it was taken, not an error that would make the client put it in again")
def test_a_job_that_was_taken_is_told(behind):
    job = {"image": IMAGE, "name": "taken", "command": ["sleep", "600"]}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(behind.request, "POST", "/v1/jobs?wait=3s", job)
        taken = wait_until(lambda: behind.sql("select id from berth.jobs where name = 'taken'"), "it is taken")
        behind.proxy.refuse()
        status, headers, body = answer.result()
    view = json.loads(body)
    assert (status, view["id"], headers["Location"]) == (201, taken, f"/v1/jobs/{taken}"), told(view)
    behind.proxy.heal()


@pytest.mark.fault("QUIT while PostgreSQL is away", how="a proxy refuses all connections; then TERM, since nobody waits so long",
                   holds="berthd does not say done: it ends with 75 and names the job; the next start records its end")
def test_quit_does_not_say_done_without_a_database(behind):
    job = behind.script("echo up; sleep 600")
    wait_until(lambda: behind.output(job) == b"up\n", "it runs")
    behind.proxy.refuse()
    wait_until(lambda: not behind.ready(), "berthd knows")
    behind.process.send_signal(signal.SIGQUIT)
    wait_until(lambda: not behind.children().get("runner"), "its runner has ended")
    assert behind.stop(signal.SIGTERM) == 75
    assert behind.attempts_told("is not recorded") == [f"{job}.1"]
    behind.proxy.heal()
    behind.start()
    view = behind.wait(job)
    assert (view["status"], view["reason"]) == ("canceled", "shutdown"), told(view)
