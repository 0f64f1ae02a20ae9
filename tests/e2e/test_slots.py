"""Many jobs, few slots."""
import datetime
import json
import subprocess

import pytest

from support import IMAGE, HttpError, wait_until


def test_forty_jobs_on_four_slots(new_berth, tmp_path):
    berth = new_berth(BERTH_SLOTS="4")
    events = subprocess.Popen(["docker", "events", "--filter", f"label=io.berth.instance={berth.instance}",
                               "--filter", "type=container", "--format", "{{json .}}"], stdout=open(tmp_path / "events", "w"))
    try:
        jobs = [berth.script(f"echo {i}; sleep 0.2") for i in range(40)]
        views = [berth.wait(job) for job in jobs]
    finally:
        events.terminate()
        events.wait()
    seen = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert [v["status"] for v in views] == ["succeeded"] * 40
    assert [v["attempt"] for v in views] == [1] * 40
    assert [berth.output(job) for job in jobs] == [b"%d\n" % i for i in range(40)]
    assert berth.sql("select count(*) from berth.attempts") == "40"
    alive, most, starts = set(), 0, []
    for e in seen:
        job = e["Actor"]["Attributes"].get("io.berth.job")
        if e["Actor"]["Attributes"].get("io.berth.role") != "main":
            continue
        if e["Action"] == "create":
            alive.add(e["Actor"]["ID"])
        if e["Action"] == "start":
            starts.append(job)
        if e["Action"] == "destroy":
            alive.discard(e["Actor"]["ID"])
        most = max(most, len(alive))
    assert sorted(starts) == sorted(jobs), "each exactly once"
    assert most == 4, "all slots used, never more"
    assert berth.on_engine() == []


def submit_by_sql(berth, count=1, **spec):
    text = json.dumps({"image": IMAGE, **spec})
    return berth.sql(f"select berth.submit('{text}') from generate_series(1, {count})").splitlines()


def test_more_rows_in_one_claim_than_are_begun_in_one_turn(new_berth):
    berth = new_berth(BERTH_SLOTS="11", BERTH_DEFAULT_MEMORY="16m", BERTH_MEMORY="256m")
    jobs = submit_by_sql(berth, 13, script="true")
    assert [(v["status"], v["attempt"]) for v in map(berth.wait, jobs)] == [("succeeded", 1)] * 13
    assert berth.sql("select max(n) > 4 from (select count(*) n from berth.attempts group by claimed_at::timestamp(1)) c") == "t"
    assert berth.on_engine() == []


def test_a_row_from_sql_keeps_its_times(new_berth):
    berth = new_berth(BERTH_SLOTS="1")
    gate = berth.script("sleep 600")
    wait_until(lambda: berth.job(gate)["status"] != "queued", "the slot is taken")
    [late] = submit_by_sql(berth, script="true", deadlines={"queue": "1s"})
    wait_until(lambda: berth.sql(f"select created_at < now() - interval '1 s' from berth.jobs where id = '{late}'") == "t", "it is late")
    run_at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=10)
    [later] = submit_by_sql(berth, script="true", run_at=run_at.isoformat())
    berth.cancel(gate, force=True)
    view = berth.wait(late)
    assert (view["status"], view["reason"]) == ("timed_out", "queue_deadline")
    assert berth.wait(later)["status"] == "succeeded"
    assert berth.sql(f"select status from berth.events where job_id = '{later}' order by id").splitlines() == [
        "queued", "preparing", "scheduled", "queued", "preparing", "running", "succeeded"]
    assert berth.sql(f"select started_at >= run_at from berth.jobs where id = '{later}'") == "t"


def test_memory_is_summed(new_berth):
    berth = new_berth(BERTH_SLOTS="8", BERTH_MEMORY="256m", BERTH_DEFAULT_MEMORY="128m")
    jobs = [berth.script("sleep 1") for _ in range(6)]
    views = [berth.wait(job) for job in jobs]
    assert {v["status"] for v in views} == {"succeeded"}
    spans = berth.sql("select extract(epoch from claimed_at), extract(epoch from cleaned_at) from berth.attempts").splitlines()
    spans = [tuple(map(float, s.split("|"))) for s in spans]
    assert max(sum(a <= at < b for a, b in spans) for at, _ in spans) <= 2


def test_priority_and_age(new_berth):
    berth = new_berth(BERTH_SLOTS="1")
    gate = berth.script("sleep 2")
    wait_until(lambda: berth.job(gate)["status"] != "queued", "the slot is taken")
    low = berth.script("true", priority=-5)
    first, second = berth.script("true"), berth.script("true")
    high = berth.script("true", priority=5)
    for job in (gate, low, first, second, high):
        assert berth.wait(job)["status"] == "succeeded"
    order = berth.sql("select job_id from berth.attempts order by claimed_at, id").splitlines()
    assert order == [gate, high, first, second, low]


def test_what_could_never_fit_is_refused_at_once(new_berth):
    berth = new_berth(BERTH_MEMORY="256m")
    with pytest.raises(HttpError) as error:
        berth.script("true", limits={"memory": "300m"})
    assert error.value.status == 422
    [fault] = error.value.problem["errors"]
    assert fault["pointer"] == "/limits/memory" and "256m" in fault["detail"], fault
