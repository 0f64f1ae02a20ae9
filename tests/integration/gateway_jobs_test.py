"""Jobs over HTTP on a real PostgreSQL: every status code, lists, waiting, cancelling, removing."""

import hashlib
import http.client
import json
import os
import socket
import subprocess
import threading
import time

from gateway_checks import BASE, NOBODY, cpu_seconds, expect, problem, run_all
from gateway_rig import TOKEN, Log, submit, until


def test_create_and_get(pg, gw):
    answer = gw.post("/v1/jobs", {**BASE, "name": "one", "labels": {"a": "b"}})
    expect("status", answer.status, 201)
    job = answer.json
    expect("location", answer.headers["Location"], "/v1/jobs/" + job["id"])
    expect("members", set(job), {
        "id", "name", "tenant", "status", "reason", "message", "exit_code", "signal", "attempt", "created_at",
        "started_at", "finished_at", "orchestrator", "image_digest", "earlier_attempts", "deadline_at", "log", "usage", "timeline", "spec",
        "labels", "links"})
    expect("status", (job["status"], job["name"], job["tenant"], job["attempt"]), ("queued", "one", "default", 0))
    expect("labels", job["labels"], {"a": "b"})
    expect("image", job["spec"]["image"], "busybox")
    expect("log", job["log"], {"bytes": 0, "stored_bytes": 0, "complete": False, "truncated": False, "sha256": None})
    expect("timeline", set(job["timeline"]),
           {"queued", "claimed", "pulled", "created", "started", "exited", "cleaned"})
    expect("the same by GET", gw.get("/v1/jobs/" + job["id"]).json, job)
    head = gw.request("HEAD", "/v1/jobs/" + job["id"])
    expect("HEAD", (head.status, head.data, int(head.headers["Content-Length"]) > 100), (200, b"", True))
    row = pg.sql(f"select status, memory_bytes > 0, queue_deadline_at is null, spec::jsonb->>'image'"
                 f" from berth.jobs where id = '{job['id']}'")
    expect("row", row.split("|")[0::3], ["queued", "busybox"])
    later = gw.post("/v1/jobs", {**BASE, "run_at": "2099-01-01T00:00:00Z"}).json
    expect("run_at", later["status"], "scheduled")


def test_create_hint(pg, gw):
    """New jobs are told to the orchestrators; many at once in few words."""
    listener = subprocess.Popen([os.path.join(pg.bin, "psql"), pg.url, "-qAt"], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)
    listener.stdin.write("listen berth_work; select 'on';\n")
    listener.stdin.flush()
    expect("listens", listener.stdout.readline().strip(), "on")
    job = gw.post("/v1/jobs", BASE).json["id"]

    def heard(word):
        listener.stdin.write("select 'beat';\n")
        listener.stdin.flush()
        lines = []
        while not lines or "beat" not in lines[-1]:
            lines.append(listener.stdout.readline())
        seen.extend(lines)
        return any(f'payload "{word}"' in line for line in seen)

    seen = []
    until("a hint of a new job", lambda: heard("jobs"))
    gw.post(f"/v1/jobs/{job}/cancel")
    until("a hint of a cancel", lambda: heard("cancel"))
    seen.clear()
    job = submit(pg)
    Log(pg, job).status("running")
    pg.sql(f"""update berth.jobs set spec = '{{"image": "a", "deadlines": {{"run": "1m"}}}}' where id = '{job}'""")
    expect("more time", gw.post(f"/v1/jobs/{job}/extend", {"run": "1m"}).status, 200)
    until("a hint of an extension", lambda: heard("cancel"))
    listener.stdin.close()
    listener.wait(10)


def test_bad_bodies(pg, gw):
    doc = problem(gw.post("/v1/jobs", b'{"image": "a",\n  oops}'), 400)
    expect("position", "line 2, column" in doc["detail"], True)
    problem(gw.post("/v1/jobs", b""), 400)
    problem(gw.post("/v1/jobs", None), 400)
    problem(gw.post("/v1/jobs", b'{"image": "a", "image": "b"}'), 400)
    doc = problem(gw.post("/v1/jobs", {"command": "x", "nonsense": 1, "limits": {"memory": "lots"}}), 422)
    pointers = {e["pointer"] for e in doc["errors"]}
    expect("pointers", {"/image", "/command", "/nonsense", "/limits/memory"} <= pointers, True)
    for scalar in (b"[]", b"5", b"true", b"null", b'"image"'):
        expect(f"{scalar} is JSON", problem(gw.post("/v1/jobs", scalar), 422)["errors"][0]["pointer"], "")
    for number in (b"9223372036854775808", b"-9223372036854775809", b"1e999"):
        doc = problem(gw.post("/v1/jobs", b'{"image": "a", "input": %s}' % number), 422)
        expect(f"{number} is JSON", "too large" in doc["errors"][0]["detail"], True)
    kept = gw.post("/v1/jobs", b'{"image": "a", "input": -9223372036854775808}').json
    expect("the smallest", kept["spec"]["input"], -(1 << 63))
    doc = problem(gw.post("/v1/jobs", b'{"image": "a", "command": ["a", "b\\u0000c"], "name": "\\u0000"}'), 422)
    expect("NULs are told by their place", sorted(e["pointer"] for e in doc["errors"]), ["/command/1", "/name"])
    job = gw.post("/v1/jobs", {**BASE, "input": {"any": "a\0b"}}).json
    expect("but the input may hold them", gw.get("/v1/jobs/" + job["id"]).json["spec"]["input"], {"any": "a\0b"})
    problem(gw.post("/v1/jobs", b"image=a", headers={"Content-Type": "application/x-www-form-urlencoded"}), 415)
    problem(gw.post("/v1/jobs", b"{}", headers={"Content-Type": None}), 415)
    expect("a charset is fine", gw.post("/v1/jobs", BASE, headers={
        "Content-Type": "application/json; charset=utf-8"}).status, 201)
    # Refused by its length alone, and the connection is good for the next request.
    connection = http.client.HTTPConnection("127.0.0.1", gw.port, timeout=20)
    problem(gw.post("/v1/jobs", b" " * (1024 * 1024 + 1), connection=connection), 413)
    expect("next", gw.get("/healthz", connection=connection).status, 200)
    connection.close()
    expect("a chunked body", b" 411 " in gw.raw(
        b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"), True)
    expect("a length that is none", b" 400 " in gw.raw(
        b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n{}"), True)
    big = {**BASE, "input": "x" * 900_000}
    job = gw.post("/v1/jobs", big).json
    expect("large bodies", len(gw.get("/v1/jobs/" + job["id"]).json["spec"]["input"]), 900_000)


def test_larger_than_any_answer(pg, gw):
    """What only SQL can put in: a spec that is left out, and a job that is an error but no torn answer."""
    job = submit(pg)
    pg.sql(f"""update berth.jobs set spec = '"' || repeat('x', 4194304) || '"' where id = '{job}'""")
    expect("a long spec", gw.get("/v1/jobs/" + job).json["spec"], None)
    pg.sql(f"update berth.jobs set message = repeat('x', 70000000) where id = '{job}'")
    problem_of = gw.get("/v1/jobs/" + job)
    expect("too long", (problem_of.status, problem_of.json["status"]), (500, 500))
    pg.sql(f"delete from berth.jobs where id = '{job}'")


def test_idempotency(pg, gw):
    key = {"Idempotency-Key": "deploy-1"}
    first = gw.post("/v1/jobs", {**BASE, "name": "i"}, headers=key)
    again = gw.post("/v1/jobs", b'{"name":"i",  "command":["true"],"image":"busybox"}', headers=key)
    expect("statuses", (first.status, again.status), (201, 200))
    expect("the first answer", again.json["id"], first.json["id"])
    problem(gw.post("/v1/jobs", {**BASE, "name": "other"}, headers=key), 422)
    problem(gw.post("/v1/jobs", BASE, headers={"Idempotency-Key": "k" * 300}), 400)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(
        gw.post("/v1/jobs", BASE, headers={"Idempotency-Key": "race"}).json["id"])) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    expect("one job for all", len(set(answers)), 1)


def test_paths_and_methods(pg, gw):
    problem(gw.get("/v1/nothing"), 404)
    problem(gw.get("/v1/jobs/not-a-uuid"), 404)
    problem(gw.get(f"/v1/jobs/{NOBODY}"), 404)
    problem(gw.get(f"/v1/jobs/{NOBODY}/logs"), 404)
    problem(gw.post(f"/v1/jobs/{NOBODY}/cancel"), 404)
    answer = gw.request("PUT", "/v1/jobs", b"{}")
    problem(answer, 405)
    expect("Allow", answer.headers["Allow"], "GET, HEAD, POST")
    answer = gw.request("DELETE", "/healthz")
    problem(answer, 405)
    expect("Allow", answer.headers["Allow"], "GET, HEAD")
    expect("an upgrade is needed", problem(gw.get(f"/v1/jobs/{NOBODY}/stream"), 426)["status"], 426)
    for path in ("/v1/jobs?nonsense=1", "/v1/jobs?limit=0", "/v1/jobs?limit=201", "/v1/jobs?status=happy",
                 "/v1/jobs?label=x", "/v1/jobs?cursor=abc", "/v1/jobs?limit=1&limit=2",
                 f"/v1/jobs/{NOBODY}?wait=never", f"/v1/jobs/{NOBODY}?wait=10h", f"/v1/jobs/{NOBODY}/logs?offset=-1",
                 f"/v1/jobs/{NOBODY}/logs?tail=1&offset=1", f"/v1/jobs/{NOBODY}/logs?stream=both"):
        problem(gw.get(path), 400)


def test_auth(pg, gw):
    answer = gw.get("/v1/jobs", token=None)
    problem(answer, 401)
    expect("challenge", answer.headers["WWW-Authenticate"].startswith("Bearer "), True)
    problem(gw.get("/v1/jobs", token="wrong"), 401)
    problem(gw.get("/v1/jobs", token=TOKEN[:-1]), 401)
    problem(gw.get("/v1/jobs", token=TOKEN + "x"), 401)
    problem(gw.get("/v1/jobs", token=None, headers={"Authorization": "Basic " + TOKEN}), 401)
    expect("health is open", gw.get("/healthz", token=None).status, 200)


def test_request_id(pg, gw):
    expect("taken over", gw.get("/healthz", headers={"X-Request-Id": "abc-1"}).headers["X-Request-Id"], "abc-1")
    for odd in ("a b", "x" * 65, "<script>"):
        made = gw.get("/healthz", headers={"X-Request-Id": odd}).headers["X-Request-Id"]
        expect("made", (len(made), made != odd), (36, True))
    gw.get("/v1/jobs", headers={"X-Request-Id": "find-me"})
    until("the id in the log", lambda: any('"find-me"' in line for line in gw.log))
    expect("no token in the log", any(TOKEN in line for line in gw.log), False)


def test_keep_alive_and_pipelining(pg, gw):
    connection = http.client.HTTPConnection("127.0.0.1", gw.port, timeout=10)
    for _ in range(3):
        expect("get", gw.get("/v1/jobs?limit=1", connection=connection).status, 200)
        expect("post", gw.post("/v1/jobs", BASE, connection=connection).status, 201)
        expect("problem", gw.get("/v1/nothing", connection=connection).status, 404)
    connection.close()
    get = f"GET /v1/jobs?limit=1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
    out = gw.raw(get + b"\r\n" + get + b"\r\n" + get + b"Connection: close\r\n\r\n")
    expect("three answers", out.count(b"HTTP/1.1 200 OK"), 3)
    # Without Content-Length there is no body (RFC 9112, section 6.3).
    job = submit(pg)
    out = gw.raw(f"POST /v1/jobs/{job}/cancel HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
    expect("a POST without a body", out.startswith(b"HTTP/1.1 202 "), True)
    out = gw.raw(f"GET /v1/jobs/{job} HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
    expect("HTTP/1.0", out.startswith(b"HTTP/1.1 200 OK"), True)
    out = gw.raw(get + b"Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
                 b"\r\nGET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    expect("h2c is passed over", out.startswith(b"HTTP/1.1 200 OK"), True)


def head_of(method, path, body=b"", close=False):
    return (f"{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n" + ("Connection: close\r\n" if close else "")
            + (f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else "") + "\r\n").encode() + body


def answers_of(connection):
    return b"".join(iter(lambda: connection.recv(65536), b""))


def test_the_next_request_comes_early(pg, gw):
    """While one is being answered; libwebsockets 4.1 would take the headers of the next for its body, again and again."""
    spec = b'{"image": "busybox"}'
    job = submit(pg)
    for first in (head_of("GET", f"/v1/jobs/{job}"), head_of("POST", "/v1/jobs", spec)):
        for second, status in ((head_of("POST", "/v1/jobs", spec, close=True), 201), (head_of("GET", "/healthz", close=True), 200)):
            lock = subprocess.Popen([os.path.join(pg.bin, "psql"), pg.url, "-qAt"], stdin=subprocess.PIPE, text=True)
            lock.stdin.write("begin; lock table berth.jobs;\n")
            lock.stdin.flush()
            until("the table is locked", lambda: pg.sql(
                "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and granted and relation = 'berth.jobs'::regclass") == "1")
            with socket.create_connection(("127.0.0.1", gw.port), timeout=15) as connection:
                connection.sendall(first)
                until("it waits", lambda: pg.sql("select count(*) from pg_stat_activity where wait_event_type = 'Lock'") == "1")
                connection.sendall(second)
                lock.communicate("commit;\n")
                got = answers_of(connection)
            expect(f"{first[:20]} {second[:20]}", (got.count(b"HTTP/1.1 "), f"HTTP/1.1 {status} ".encode() in got), (2, True))
            expect("nobody is kept waiting", gw.get("/healthz").status, 200)


def test_the_next_request_comes_at_once(pg, gw):
    """Behind an answer of which the gateway has not yet been told that it is out."""
    spec = b'{"image": "busybox"}'
    with socket.create_connection(("127.0.0.1", gw.port), timeout=15) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(100):
            for request in (head_of("POST", "/nowhere", spec), head_of("POST", "/v1/jobs", spec)):
                connection.sendall(request)
                expect("answer", connection.recv(65536)[:9], b"HTTP/1.1 ")
        connection.sendall(head_of("GET", "/healthz", close=True))
        expect("the last one", answers_of(connection).count(b"HTTP/1.1 200"), 1)


def test_a_body_behind_another_request(pg, gw):
    """All in one segment: such a request is not answered, and its connection ends (RFC 9112, section 9.3.2)."""
    spec = b'{"image": "busybox", "labels": {"behind": "yes"}}'
    for first, status in ((head_of("GET", "/healthz"), 200), (head_of("POST", "/v1/jobs", spec), 201), (head_of("GET", "/nowhere"), 404),
                          (head_of("POST", "/nowhere", spec), 404)):
        got = gw.raw(first + head_of("POST", "/v1/jobs", spec) + head_of("GET", "/healthz"))
        expect(f"{first[:30]}", (got.count(b"HTTP/1.1 "), f"HTTP/1.1 {status} ".encode() in got), (1, True))
        expect("nobody is kept waiting", gw.get("/healthz").status, 200)
    expect("jobs", len(gw.get("/v1/jobs?label=behind=yes").json["items"]), 1)
    got = gw.raw(head_of("GET", "/healthz") + head_of("GET", "/nowhere") + head_of("GET", "/healthz", close=True))
    expect("without a body they are all answered", (got.count(b"HTTP/1.1 200"), got.count(b"HTTP/1.1 404")), (2, 1))


def test_a_request_behind_a_long_answer(pg, gw):
    """Answers of any length, in one segment and one after the other: none makes the gateway turn in a circle, none is spoilt."""
    for size in (6_000, 60_000):
        spec = json.dumps({"image": "busybox", "script": "#" * size, "env": {f"E{i}": "x" * size for i in range(4)}}).encode()
        first = head_of("POST", "/v1/jobs", spec)
        got = gw.raw(first + head_of("GET", "/healthz", close=True))
        expect(f"{size}: the first one", got[:13], b"HTTP/1.1 201 ")
        expect("nobody is kept waiting", gw.get("/healthz").status, 200)
        connection = http.client.HTTPConnection("127.0.0.1", gw.port, timeout=10)
        for _ in range(10):
            answer = gw.request("POST", "/v1/jobs", spec, connection=connection)
            expect("whole", (answer.status, len(answer.json["spec"]["script"])), (201, size))
        connection.close()
    before = cpu_seconds(gw.process.pid)
    with socket.create_connection(("127.0.0.1", gw.port), timeout=15) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(first + head_of("GET", "/healthz"))
        until("it is answered", lambda: slow.recv(1, socket.MSG_PEEK))
        begun = time.monotonic()
        while time.monotonic() - begun < 1:
            expect("keep-alive goes on beside it", gw.post("/v1/jobs", BASE).status, 201)
    expect("no circle", cpu_seconds(gw.process.pid) - before < 5, True)


def test_an_upgrade_to_something_else(pg, gw):
    for word in ("foo", "x" * 60):
        got = gw.raw(f"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: {word}\r\n\r\n".encode())
        expect(word, got.startswith(b"HTTP/1.0 403 "), True)
        expect("nobody is kept waiting", gw.get("/healthz").status, 200)


def test_list(pg, gw):
    ids = [gw.post("/v1/jobs", {**BASE, "name": f"list-{i % 2}", "labels": {"set": "l 1+&=", "n": str(i)}}).json["id"]
           for i in range(5)]
    page = gw.get("/v1/jobs?label=set%3Dl%201%2B%26%3D&limit=2")
    expect("newest first", [j["id"] for j in page.json["items"]], ids[:2:-1])
    seen, following = [j["id"] for j in page.json["items"]], page
    while following.json["next"]:
        link = following.headers["Link"]
        expect("link", link.endswith('>; rel="next"'), True)
        following = gw.get(link[1:link.index(">")])
        seen += [j["id"] for j in following.json["items"]]
    expect("all pages", seen, ids[::-1])
    expect("by name", len(gw.get("/v1/jobs?name=list-1&label=set=l+1%2B%26=").json["items"]), 2)
    expect("by two labels", [j["id"] for j in gw.get("/v1/jobs?label=n%3D3&label=set%3Dl+1%2B%26%3D").json["items"]],
           [ids[3]])
    gw.post(f"/v1/jobs/{ids[0]}/cancel")
    expect("by status", [j["id"] for j in gw.get(
        "/v1/jobs?status=canceled,failed&label=set%3Dl+1%2B%26%3D").json["items"]], [ids[0]])


def test_cancel(pg, gw):
    job = gw.post("/v1/jobs", BASE).json["id"]
    answer = gw.post(f"/v1/jobs/{job}/cancel", {"force": False})
    expect("queued", (answer.status, answer.json["status"], answer.json["reason"]), (202, "canceled", "requested"))
    expect("finished", answer.json["finished_at"] is not None, True)
    nothing = hashlib.sha256(b"").hexdigest()
    expect("its log", (answer.json["log"]["complete"], answer.json["log"]["sha256"]), (True, nothing))
    end = json.loads(gw.get(f"/v1/jobs/{job}/logs?follow=true", headers={"Accept": "application/x-ndjson"}).data.splitlines()[-1])
    expect("and its end", (end["type"], end["sha256"]), ("end", nothing))
    problem(gw.post(f"/v1/jobs/{job}/cancel"), 409)
    job = submit(pg)
    log = Log(pg, job)
    log.status("running")
    answer = gw.post(f"/v1/jobs/{job}/cancel", b"")
    expect("running", (answer.status, answer.json["status"], answer.json["reason"]), (202, "canceling", "requested"))
    expect("again", gw.post(f"/v1/jobs/{job}/cancel").status, 202)
    expect("flag", pg.sql(f"select cancel from berth.jobs where id = '{job}'"), "1")
    expect("force", gw.post(f"/v1/jobs/{job}/cancel", {"force": True}).status, 202)
    expect("flag", pg.sql(f"select cancel from berth.jobs where id = '{job}'"), "2")
    expect("force stays", gw.post(f"/v1/jobs/{job}/cancel").status, 202)
    expect("flag", pg.sql(f"select cancel from berth.jobs where id = '{job}'"), "2")
    problem(gw.post(f"/v1/jobs/{job}/cancel", {"force": "yes"}), 422)
    problem(gw.post(f"/v1/jobs/{job}/cancel", {"fast": True}), 422)
    problem(gw.post(f"/v1/jobs/{job}/cancel", b"{"), 400)
    problem(gw.request("DELETE", f"/v1/jobs/{job}"), 409)
    log.end("canceled", 137)
    problem(gw.post(f"/v1/jobs/{job}/cancel"), 409)
    job = submit(pg)
    log = Log(pg, job)
    log.status("retrying")
    expect("retrying", gw.post(f"/v1/jobs/{job}/cancel").json["status"], "canceled")


def test_cancel_meets_another_step(pg, gw):
    """The row goes from preparing to running while the cancel waits for it: it is canceled all the same."""
    job = submit(pg)
    Log(pg, job).status("preparing")
    other = subprocess.Popen([os.path.join(pg.bin, "psql"), pg.url, "-qAt"], stdin=subprocess.PIPE, text=True)
    other.stdin.write(f"begin; update berth.jobs set status = 'running' where id = '{job}';\n")
    other.stdin.flush()
    until("the row is locked", lambda: pg.sql(
        "select count(*) from pg_stat_activity where state = 'idle in transaction' and query like 'update%'") == "1")
    answers = []
    cancel = threading.Thread(target=lambda: answers.append(gw.post(f"/v1/jobs/{job}/cancel")))
    cancel.start()
    until("the cancel waits", lambda: pg.sql("select count(*) from pg_stat_activity where wait_event_type = 'Lock'") == "1")
    other.communicate("commit;\n")
    cancel.join(20)
    expect("canceled", (answers[0].status, answers[0].json["status"]), (202, "canceling"))


def test_delete(pg, gw):
    job = submit(pg)
    log = Log(pg, job).add(b"bye\n").end()
    expect("delete", gw.request("DELETE", f"/v1/jobs/{job}").status, 204)
    problem(gw.get(f"/v1/jobs/{job}"), 404)
    problem(gw.request("DELETE", f"/v1/jobs/{job}"), 404)
    expect("its log", pg.sql(f"select count(*) from berth.log_chunks where attempt_id = {log.id}"), "0")


def test_wait(pg, gw):
    job = submit(pg)
    started = time.monotonic()
    expect("time over", gw.get(f"/v1/jobs/{job}?wait=300ms").json["status"], "queued")
    expect("it waited", 0.25 < time.monotonic() - started < 5, True)
    answers = []
    waiters = [threading.Thread(target=lambda: answers.append(gw.get(f"/v1/jobs/{job}?wait=60s").json["status"]))
               for _ in range(3)]
    for w in waiters:
        w.start()
    log = Log(pg, job)
    log.status("running")
    log.end("failed", 3)
    for w in waiters:
        w.join(20)
    expect("answers", answers, ["failed"] * 3)
    expect("ended already", gw.get(f"/v1/jobs/{job}?wait=60s").json["exit_code"], 3)
    result = []
    poster = threading.Thread(target=lambda: result.append(gw.post("/v1/jobs?wait=60s", {**BASE, "name": "w8"})))
    poster.start()
    found = until("the job", lambda: pg.sql("select id from berth.jobs where name = 'w8'"))
    Log(pg, found).end("succeeded", notify=False)  # the poll finds it
    poster.join(20)
    expect("POST waits too", (result[0].status, result[0].json["status"]), (201, "succeeded"))
    gone = socket.create_connection(("127.0.0.1", gw.port))
    gone.sendall(f"GET /v1/jobs/{submit(pg)}?wait=60s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
    gone.close()
    expect("goes on", gw.get("/healthz").status, 200)


if __name__ == "__main__":
    run_all(globals())
