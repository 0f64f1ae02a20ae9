"""What is done to jobs over HTTP on a real PostgreSQL: more time, another try, one at a time, and why it waits."""

import threading
import time

from gateway_checks import BASE, NOBODY, expect, problem, run_all
from gateway_rig import Gateway, Log, submit


def started(pg, gw, spec=None, **more):
    """A job whose command runs since now."""
    job = gw.post("/v1/jobs", {**BASE, **(spec or {})}).json["id"]
    log = Log(pg, job)
    pg.sql(f"update berth.attempts set started_at = now(), container_at = now(), pulled_at = now(),"
           f" deadline_at = now() + interval '10 minutes' where id = {log.id}")
    log.status("running", started_at="now()", **more)
    return job, log


def deadline(pg, log):
    return float(pg.sql(f"select extract(epoch from deadline_at - started_at) from berth.attempts where id = {log.id}"))


def faults(answer):
    return {e["pointer"]: e["detail"] for e in problem(answer, 422)["errors"]}


def test_extend(pg, gw):
    job, log = started(pg, gw, {"deadlines": {"run": "10m"}})
    before = gw.get(f"/v1/jobs/{job}").json
    expect("a running job can be extended", before["links"]["extend"], f"/v1/jobs/{job}/extend")
    answer = gw.post(f"/v1/jobs/{job}/extend", {"run": "5m"})
    expect("extended", (answer.status, answer.json["status"]), (200, "running"))
    expect("the deadline moved", deadline(pg, log), 900.0)
    expect("and is shown", answer.json["deadline_at"] > before["deadline_at"], True)
    expect("the same by GET", gw.get(f"/v1/jobs/{job}").json, answer.json)
    expect("seconds", gw.post(f"/v1/jobs/{job}/extend", {"run": 1.5}).status, 200)
    expect("they add up", (pg.sql(f"select run_extra_ms from berth.attempts where id = {log.id}"), deadline(pg, log)),
           ("301500", 901.5))
    for body, pointer in (({"run": "soon"}, "/run"), ({"run": 0}, "/run"), ({"run": -5}, "/run"), ({"run": "0s"}, "/run"),
                          ({"run": None}, "/run"), ({"run": 1e300}, "/run"), ({"run": ["5m"]}, "/run"), ({}, "/run"),
                          ({"run": "5m", "idle": "5m"}, ""), ([], ""), ({"run": "5m\0"}, "/run")):
        expect(f"{body}", list(faults(gw.post(f"/v1/jobs/{job}/extend", body))), [pointer])
    expect("a bare number", list(faults(gw.post(f"/v1/jobs/{job}/extend", b"5"))), [""])
    problem(gw.post(f"/v1/jobs/{job}/extend", b"{"), 400)
    problem(gw.post(f"/v1/jobs/{job}/extend"), 400)
    problem(gw.post(f"/v1/jobs/{job}/extend?x=1", {"run": "5m"}), 400)
    problem(gw.post(f"/v1/jobs/{NOBODY}/extend", {"run": "5m"}), 404)
    expect("none of these moved it", deadline(pg, log), 901.5)
    pg.sql(f"update berth.attempts set exited_at = now() where id = {log.id}")
    expect("too late", "has ended" in problem(gw.post(f"/v1/jobs/{job}/extend", {"run": "5m"}), 409)["detail"], True)
    log.end("succeeded")
    expect("ended", "succeeded" in problem(gw.post(f"/v1/jobs/{job}/extend", {"run": "5m"}), 409)["detail"], True)
    waiting = submit(pg)
    expect("not begun", "queued" in problem(gw.post(f"/v1/jobs/{waiting}/extend", {"run": "5m"}), 409)["detail"], True)


def test_extend_is_bounded(pg, gw):
    own = Gateway(gw.program, pg.url, max_run="20m").ready()
    try:
        job, log = started(pg, own, {"deadlines": {"run": "10m"}})
        expect("within", own.post(f"/v1/jobs/{job}/extend", {"run": "6m"}).status, 200)
        words = faults(own.post(f"/v1/jobs/{job}/extend", {"run": "5m"}))["/run"]
        expect("figures", [w in words for w in ("20m", "BERTH_MAX_RUN", "16m", "so 4m at")], [True] * 4)
        # Both have seen room for themselves; the row has room for one.
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(
            own.post(f"/v1/jobs/{job}/extend", {"run": "3m"}).status)) for _ in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        expect("one of them", sorted(answers), [200] + [422] * 5)
        expect("never more", deadline(pg, log), 19 * 60.0)
    finally:
        expect("end", own.end(), 0)


def test_retry(pg, gw):
    first = gw.post("/v1/jobs", {**BASE, "name": "again", "labels": {"a": "b"}, "priority": 7}).json
    problem(gw.post(f"/v1/jobs/{first['id']}/retry"), 409)
    expect("a waiting one has no such link", "retry" in first["links"], False)
    Log(pg, first["id"]).end("failed", 3)
    link = gw.get(f"/v1/jobs/{first['id']}").json["links"]["retry"]
    answer = gw.post(link)
    again = answer.json
    expect("made anew", (answer.status, answer.headers["Location"]), (201, f"/v1/jobs/{again['id']}"))
    expect("another one", again["id"] != first["id"], True)
    expect("of the same spec", again["spec"], first["spec"])
    expect("with its columns", (again["name"], again["labels"], again["status"]), ("again", {"a": "b"}, "queued"))
    expect("linked", again["links"]["retry_of"], f"/v1/jobs/{first['id']}")
    expect("in the row", pg.sql(f"select retry_of, priority from berth.jobs where id = '{again['id']}'"),
           f"{first['id']}|7")
    key = {"Idempotency-Key": "retry-1"}
    one, two = (gw.post(link, headers=key) for _ in range(2))
    expect("once with one key", (one.status, two.status, two.json["id"]), (201, 200, one.json["id"]))
    problem(gw.post(f"/v1/jobs/{NOBODY}/retry"), 404)
    problem(gw.post(f"{link}?x=1"), 400)
    expect("an empty object", gw.post(link, {}).status, 201)
    expect("a wish", list(faults(gw.post(link, {"image": "other"}))), [""])


def test_retry_of_what_was_for_another_time_or_policy(pg, gw):
    later = gw.post("/v1/jobs", {**BASE, "run_at": "2099-01-01T00:00:00Z"}).json
    gw.post(f"/v1/jobs/{later['id']}/cancel")
    again = gw.post(f"/v1/jobs/{later['id']}/retry").json
    expect("a time to come is kept", (again["status"], again["spec"]["run_at"]), ("scheduled", later["spec"]["run_at"]))
    past = submit(pg)
    pg.sql(f"""update berth.jobs set spec = '{{"image": "busybox", "run_at": "2001-01-01T00:00:00Z"}}' where id = '{past}'""")
    Log(pg, past).end("failed", 1)
    again = gw.post(f"/v1/jobs/{past}/retry").json
    expect("one that has passed is not", (again["status"], again["spec"].get("run_at")), ("queued", None))
    own = Gateway(gw.program, pg.url, max_run="10m").ready()
    try:
        long = gw.post("/v1/jobs", {**BASE, "deadlines": {"run": "1h"}}).json["id"]
        Log(pg, long).end("failed", 1)
        expect("what is not allowed any more", list(faults(own.post(f"/v1/jobs/{long}/retry"))), ["/deadlines/run"])
    finally:
        expect("end", own.end(), 0)
    bad = submit(pg)
    pg.sql(f"update berth.jobs set spec = 'no spec' where id = '{bad}'")
    Log(pg, bad).end("errored", 0)
    expect("no spec at all", list(faults(gw.post(f"/v1/jobs/{bad}/retry"))), [""])


def test_columns_for_the_claim(pg, gw):
    spec = {**BASE, "limits": {"memory": "100m", "cpus": 1.5},
            "services": [{"name": "db", "image": "busybox", "limits": {"memory": "28m", "cpus": 0.5}}],
            "concurrency": {"key": "col", "max": 3, "on_conflict": "cancel_running"}}
    job = gw.post("/v1/jobs", spec).json["id"]
    expect("sums and key", pg.sql(f"select memory_bytes, cpus_milli, concurrency_key, concurrency_max, on_conflict"
                                  f" from berth.jobs where id = '{job}'"),
           f"{128 << 20}|2000|col|3|cancel_running")
    plain = gw.post("/v1/jobs", BASE).json["id"]
    expect("none", pg.sql(f"select concurrency_key is null and concurrency_max is null and on_conflict is null"
                          f" from berth.jobs where id = '{plain}'"), "t")


def test_refused_while_its_key_is_taken(pg, gw):
    spec = {**BASE, "concurrency": {"key": "refuse", "max": 1, "on_conflict": "reject"}}
    first = gw.post("/v1/jobs", spec, headers={"Idempotency-Key": "refuse-1"})
    expect("the first", first.status, 201)
    doc = problem(gw.post("/v1/jobs", spec), 409)
    expect("names the holder", first.json["id"] in doc["detail"], True)
    expect("and the key", '"refuse"' in doc["detail"], True)
    expect("the same request again", gw.post("/v1/jobs", spec, headers={"Idempotency-Key": "refuse-1"}).status, 200)
    gw.post(f"/v1/jobs/{first.json['id']}/cancel")
    expect("free again", gw.post("/v1/jobs", spec).status, 201)
    problem(gw.post(f"/v1/jobs/{first.json['id']}/retry"), 409)


# --- explain ---


def orchestrator(pg, name, age="0 s", **columns):
    values = {"slots": 4, "used": 0, "memory_bytes": 1 << 31, "memory_used": 0, "cpus_milli": 0, "cpus_used": 0,
              "draining": "false", "detached_until": "null", "lost_after": "interval '5 minutes'", **columns}
    pg.sql(f"insert into berth.orchestrators (name, state_id, version, heartbeat_at, lease, {', '.join(values)})"
           f" values ('{name}', gen_random_uuid(), 'test', now() - interval '{age}', interval '15 s',"
           f" {', '.join(str(v) for v in values.values())})")


def explain(gw, job):
    answer = gw.get(f"/v1/jobs/{job}/explain")
    expect("explained", (answer.status, set(answer.json)),
           (200, {"id", "status", "reason", "message", "position", "waiting_for", "next"}))
    expect("id", answer.json["id"], job)
    return answer.json, {w["limit"]: w["detail"] for w in answer.json["waiting_for"]}


def alone(pg):
    pg.sql("update berth.jobs set status = 'canceled' where status in ('queued', 'scheduled', 'retrying');"
           "update berth.jobs set status = 'canceled' where status in ('preparing', 'running', 'canceling', 'lost');"
           "delete from berth.orchestrators")


def test_explain_the_queue(pg, gw):
    alone(pg)
    first, second = (gw.post("/v1/jobs", {**BASE, "limits": {"memory": "1g"}}).json["id"] for _ in range(2))
    doc, waits = explain(gw, first)
    expect("nobody there", (doc["position"], list(waits)), (1, ["no_orchestrator"]))
    orchestrator(pg, "gone", age="1 h")
    orchestrator(pg, "left", detached_until="now() + interval '10 min'")
    expect("nor these", list(explain(gw, first)[1]), ["no_orchestrator"])
    orchestrator(pg, "leaving", draining="true")
    expect("draining", list(explain(gw, first)[1]), ["draining"])
    orchestrator(pg, "test")
    running = [submit(pg) for _ in range(4)]
    for job in running:
        pg.sql(f"update berth.jobs set memory_bytes = {384 << 20} where id = '{job}'")
        Log(pg, job).status("running")
    doc, waits = explain(gw, first)
    expect("full", sorted(waits), ["memory", "slots"])
    expect("figures", ("test: 4 of 4" in waits["slots"], "needs 1g, 512m of 2g are free" in waits["memory"]), (True, True))
    pg.sql(f"update berth.jobs set status = 'canceled' where id in ('{running[0]}', '{running[1]}')")
    expect("room", explain(gw, first)[1], {})
    doc, waits = explain(gw, second)
    expect("behind the first", (doc["position"], list(waits)), (2, ["queue_order"]))
    urgent = gw.post("/v1/jobs", {**BASE, "priority": 5}).json["id"]
    expect("by priority", [explain(gw, j)[0]["position"] for j in (urgent, first, second)], [1, 2, 3])
    pg.sql(f"update berth.jobs set cancel = 1 where id = '{urgent}'")
    expect("one that is to end is before nobody", explain(gw, first)[0]["position"], 1)
    problem(gw.get(f"/v1/jobs/{NOBODY}/explain"), 404)
    problem(gw.get(f"/v1/jobs/{first}/explain?x=1"), 400)
    late = gw.post("/v1/jobs", {**BASE, "deadlines": {"queue": "1h"}}).json["id"]
    expect("deadline", "timed_out/queue_deadline" in explain(gw, late)[0]["next"], True)


def test_explain_a_key(pg, gw):
    alone(pg)
    orchestrator(pg, "here")
    spec = {**BASE, "concurrency": {"key": "deploy", "max": 1, "on_conflict": "queue"}}
    held, waiting, other, behind = (gw.post("/v1/jobs", s).json["id"] for s in (spec, spec, BASE, spec))
    doc, waits = explain(gw, waiting)
    expect("nobody has the key yet", list(waits), ["queue_order"])
    Log(pg, held).status("running")
    doc, waits = explain(gw, waiting)
    expect("held by the key", list(waits), ["concurrency"])
    expect("who has it", (held in waits["concurrency"], '"deploy"' in waits["concurrency"]), (True, True))
    expect("and is in nobody's way", explain(gw, other)[0]["position"], 1)
    doc, waits = explain(gw, behind)
    expect("but in that of who wants the key, too", (doc["position"], list(waits)), (3, ["concurrency", "queue_order"]))
    expect("it waits for both", "those before it have been and its key is free" in doc["next"], True)
    expect("its holder runs", explain(gw, held)[0]["position"], None)


def test_explain_later(pg, gw):
    alone(pg)
    orchestrator(pg, "here")
    job = gw.post("/v1/jobs", {**BASE, "run_at": "2099-01-01T00:00:00Z"}).json["id"]
    doc, waits = explain(gw, job)
    expect("scheduled", (doc["status"], doc["position"], list(waits)), ("scheduled", None, ["run_at"]))
    expect("message", "2099-01-01" in doc["message"], True)
    job = gw.post("/v1/jobs", {**BASE, "retry": {"max": 2}}).json["id"]
    log = Log(pg, job)
    pg.sql(f"update berth.attempts set status = 'failed', reason = 'exit_code', exit_code = 75, finished_at = now(),"
           f" message = 'm', deadline_at = now() where id = {log.id}")
    log.status("retrying", retry_at="now() + interval '1 hour'")
    doc, waits = explain(gw, job)
    expect("retrying", (doc["status"], doc["reason"], doc["position"], list(waits)),
           ("retrying", "exit_code", None, ["retry_at"]))
    expect("which", "attempt 2 of at most 3" in waits["retry_at"], True)
    expect("message", "Attempt 1 ended as failed/exit_code" in doc["message"], True)
    other = gw.post("/v1/jobs", BASE).json["id"]
    expect("it is in nobody's way", explain(gw, other)[0]["position"], 1)
    shown = gw.get(f"/v1/jobs/{job}").json
    expect("the job says the same", (shown["reason"], shown["message"]), (doc["reason"], doc["message"]))
    expect("the last attempt's deadline is none of the next", shown["deadline_at"], None)
    pg.sql(f"update berth.jobs set retry_at = now() - interval '1 s' where id = '{job}'")
    expect("due", (explain(gw, job)[0]["position"], explain(gw, job)[1]), (1, {}))


def test_explain_under_way(pg, gw):
    alone(pg)
    orchestrator(pg, "test")
    pg.sql("update berth.orchestrators set lease = '1 hour'")  # however slow we are
    job = gw.post("/v1/jobs", {**BASE, "deadlines": {"run": "10m", "idle": "3m"}}).json["id"]
    log = Log(pg, job)
    doc, waits = explain(gw, job)
    expect("preparing", (doc["status"], list(waits), "pull_deadline" in doc["next"]), ("preparing", ["image"], True))
    expect("its message", "image" in doc["message"], True)
    pg.sql(f"update berth.attempts set pulled_at = now() where id = {log.id}")
    doc, waits = explain(gw, job)
    expect("made", (list(waits), "start_deadline" in doc["next"]), (["container"], True))
    pg.sql(f"update berth.attempts set deadline_at = now() + interval '10 min' where id = {log.id}")
    log.status("running")
    doc, waits = explain(gw, job)
    expect("running", (waits, doc["message"], "run_deadline" in doc["next"], "after 3m" in doc["next"]),
           ({}, None, True, True))
    pg.sql("update berth.orchestrators set lease = '15 s', heartbeat_at = now() - interval '2 min'")
    waits = explain(gw, job)[1]
    expect("unheard of", (list(waits), "test was last heard of" in waits["orchestrator"]), (["orchestrator"], True))
    log.status("lost")
    doc, waits = explain(gw, job)
    expect("lost", (list(waits), "test was last heard of" in waits["orchestrator"], "orchestrator_lost" in doc["next"]),
           (["orchestrator"], True, True))
    expect("its message", "test cannot be reached" in doc["message"], True)
    log.status("running")
    gw.post(f"/v1/jobs/{job}/cancel")
    doc, waits = explain(gw, job)
    expect("canceling", (doc["reason"], list(waits)), ("requested", ["orchestrator", "stop"]))
    log.end("canceled", 137)
    doc, waits = explain(gw, job)
    expect("ended", (waits, doc["position"], "Nothing more" in doc["next"]), ({}, None, True))


# --- the fleet ---


def fleet(gw):
    return {item["name"]: item for item in gw.get("/v1/orchestrators").json["items"]}


def test_the_fleet(pg, gw):
    alone(pg)
    expect("nobody", gw.get("/v1/orchestrators").json, {"items": []})
    orchestrator(pg, "test")
    orchestrator(pg, "slow", age="14 s", draining="true")
    orchestrator(pg, "gone", age="16 s", draining="true")
    orchestrator(pg, "away", age="1 min", detached_until="now() + interval '9 min'")
    orchestrator(pg, "late", age="20 min", detached_until="now() - interval '10 min'")
    orchestrator(pg, "left", age="1 min", detached_until="now() - interval '1 min'")
    pg.sql("update berth.orchestrators set lease = '1 hour' where name in ('test', 'slow')")  # however slow we are
    Log(pg, submit(pg)).end("succeeded")
    lost, running = Log(pg, submit(pg)), Log(pg, submit(pg))
    for log, status in ((lost, "running"), (lost, "lost"), (running, "running")):
        log.status(status)
    shown = fleet(gw)
    expect("states", {name: item["state"] for name, item in shown.items()},
           {"test": "live", "slow": "draining", "gone": "lost", "away": "detached", "late": "lost", "left": "left"})
    expect("by name", list(shown), sorted(shown))
    expect("figures", {k: shown["test"][k] for k in ("version", "slots", "running", "draining", "detached_until")},
           {"version": "test", "slots": 4, "running": 2, "draining": False, "detached_until": None})
    expect("the others run nothing", sum(item["running"] for item in shown.values()), 2)
    expect("times", (shown["away"]["detached_until"] > shown["away"]["heartbeat_at"], shown["left"]["detached_until"]), (True, None))
    problem(gw.get("/v1/orchestrators?x=1"), 400)
    expect("no token", gw.request("GET", "/v1/orchestrators", token=None).status, 401)
    expect("method", gw.post("/v1/orchestrators").status, 405)


def test_drain(pg, gw):
    alone(pg)
    orchestrator(pg, "host-1.x_y")
    path = "/v1/orchestrators/host-1.x_y"
    for call, state in (("drain", "draining"), ("drain", "draining"), ("undrain", "live"), ("undrain", "live")):
        answer = gw.post(f"{path}/{call}")
        expect(call, (answer.status, answer.json["name"], answer.json["state"]), (200, "host-1.x_y", state))
        expect("its row", pg.sql("select draining from berth.orchestrators"), "t" if call == "drain" else "f")
    expect("empty object", gw.post(f"{path}/drain", {}).status, 200)
    expect("body", gw.post(f"{path}/drain", {"force": True}).status, 422)
    problem(gw.post(f"{path}/drain?x=1"), 400)
    problem(gw.post("/v1/orchestrators/nobody/drain"), 404)
    problem(gw.post("/v1/orchestrators/a%20b/undrain"), 404)
    expect("method", gw.get(f"{path}/drain").status, 405)
    job = gw.post("/v1/jobs", BASE).json["id"]
    doc, waits = explain(gw, job)
    expect("explained", (list(waits), "host-1.x_y" in waits["draining"], "berth undrain" in doc["next"]), (["draining"], True, True))


def test_every_status_has_its_words(pg, gw):
    """Only queued and running have no reason and no message."""
    later = gw.post("/v1/jobs", {**BASE, "run_at": "2099-01-01T00:00:00Z"}).json
    expect("scheduled", (later["reason"], later["message"]), ("run_at", "It waits for its time, 2099-01-01T00:00:00.000000Z."))
    job = submit(pg)
    log = Log(pg, job)
    shown = gw.get(f"/v1/jobs/{job}").json
    expect("preparing", (shown["reason"], "test is looking for its image" in shown["message"]), ("starting", True))
    log.status("running")
    shown = gw.get(f"/v1/jobs/{job}").json
    expect("running", (shown["reason"], shown["message"]), (None, None))
    log.end("succeeded")
    shown = gw.get(f"/v1/jobs/{job}").json
    expect("succeeded", (shown["reason"], shown["message"]), ("completed", "The command ended with exit code 0."))
    expect("its links", set(shown["links"]), {"self", "logs", "stream", "explain", "retry"})
    queued = gw.get(f"/v1/jobs/{submit(pg)}").json
    expect("queued", (queued["reason"], queued["message"]), (None, None))
    expect("its links", set(queued["links"]), {"self", "logs", "stream", "explain", "cancel"})


def test_logs_of_earlier_attempts(pg, gw):
    job = submit(pg)
    first = Log(pg, job).add(b"first\n")
    pg.sql(f"update berth.attempts set status = 'failed', reason = 'exit_code', exit_code = 75, finished_at = now(),"
           f" log_complete = true where id = {first.id}")
    first.status("retrying")
    Log(pg, job, number=2).add(b"second\n").end()
    expect("the newest", gw.get(f"/v1/jobs/{job}/logs").data, b"second\n")
    expect("the first", gw.get(f"/v1/jobs/{job}/logs?attempt=1").data, b"first\n")


def test_explain_many_ahead(pg, gw):
    """A long queue is counted up to a bound, in little time."""
    alone(pg)
    pg.sql("""insert into berth.jobs (id, spec) select gen_random_uuid(), '{"image": "x"}' from generate_series(1, 11000)""")
    last = submit(pg)
    begun = time.monotonic()
    doc, waits = explain(gw, last)
    expect("more than counted", (doc["position"], "more than 10000" in waits["queue_order"]), (10002, True))
    expect("soon", time.monotonic() - begun < 5, True)
    pg.sql("delete from berth.jobs where spec = '{\"image\": \"x\"}'")


if __name__ == "__main__":
    run_all(globals())
