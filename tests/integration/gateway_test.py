"""The gateway on a real PostgreSQL: every status code, jobs, logs, live viewers, and a database that goes away.

gateway_test.py PROGRAM SOURCE_DIR [NAME…]: PROGRAM is gateway_child; NAMEs pick tests."""

import asyncio
import base64
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback

import websockets

sys.path.insert(0, os.path.dirname(__file__))
from gateway_rig import STDERR, STDOUT, TOKEN, Gateway, Log, Postgres, free_port, submit, until  # noqa: E402

PROGRAM = sys.argv[1]
NOBODY = "00000000-0000-7000-8000-000000000000"
BASE = {"image": "busybox", "command": ["true"]}


def expect(what, got, wanted):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def problem(answer, status):
    expect(f"status of {answer.data[:300]!r}", answer.status, status)
    expect("content type", answer.headers["Content-Type"], "application/problem+json")
    doc = answer.json
    expect("members", {"type", "title", "status", "detail", "instance"} <= set(doc), True)
    expect("status in the body", doc["status"], status)
    expect("instance", doc["instance"], answer.headers["X-Request-Id"])
    return doc


# --- Jobs ---


def test_create_and_get(pg, gw):
    answer = gw.post("/v1/jobs", {**BASE, "name": "one", "labels": {"a": "b"}})
    expect("status", answer.status, 201)
    job = answer.json
    expect("location", answer.headers["Location"], "/v1/jobs/" + job["id"])
    expect("members", set(job), {
        "id", "name", "tenant", "status", "reason", "message", "exit_code", "signal", "attempt", "created_at",
        "started_at", "finished_at", "orchestrator", "image_digest", "deadline_at", "log", "usage", "timeline", "spec",
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
    problem(gw.post("/v1/jobs", b"[]"), 422)
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


# --- Logs ---


def test_logs_text(pg, gw):
    job = submit(pg)
    path = f"/v1/jobs/{job}/logs"
    expect("none yet", gw.get(path).data, b"")
    log = Log(pg, job)
    log.add(b"one\n", (STDERR, b"two\n"), b"three\n").add(b"four\n", b"fi").add(b"ve\n")
    answer = gw.get(path)
    expect("type", answer.headers["Content-Type"], "text/plain; charset=utf-8")
    expect("whole", (answer.data, answer.headers["Content-Length"]), (log.all, str(len(log.all))))
    expect("offset", gw.get(path + "?offset=5").data, log.all[5:])
    expect("offset and limit", gw.get(path + "?offset=5&limit=9").data, log.all[5:14])
    expect("limit 0", gw.get(path + "?limit=0").data, b"")
    expect("behind the end", gw.get(path + "?offset=9999").data, b"")
    expect("stream", gw.get(path + "?stream=stderr").data, b"two\n")
    expect("stream", gw.get(path + "?stream=stdout").data, b"one\nthree\nfour\nfive\n")
    expect("tail", gw.get(path + "?tail=2").data, b"four\nfive\n")
    expect("tail of more than there is", gw.get(path + "?tail=99").data, log.all)
    expect("tail 0", gw.get(path + "?tail=0").data, b"")
    expect("tail of a stream", gw.get(path + "?tail=1&stream=stderr").data, b"two\n")
    expect("tail across the other stream", gw.get(path + "?tail=3&stream=stdout").data, b"three\nfour\nfive\n")
    log.add(b"no newline")
    expect("an unfinished line is one", gw.get(path + "?tail=2").data, b"five\nno newline")
    expect("attempt", gw.get(path + "?attempt=1").data, log.all)
    problem(gw.get(path + "?attempt=2"), 404)
    expect("HEAD", gw.request("HEAD", path).headers["Content-Length"], str(len(log.all)))
    ranged = gw.get(path, headers={"Range": "bytes=4-7"})
    expect("range", (ranged.status, ranged.data, ranged.headers["Content-Range"]),
           (206, log.all[4:8], f"bytes 4-7/{len(log.all)}"))
    expect("suffix", gw.get(path, headers={"Range": "bytes=-3"}).data, log.all[-3:])
    expect("open", gw.get(path, headers={"Range": "bytes=10-"}).data, log.all[10:])
    expect("several are ignored", gw.get(path, headers={"Range": "bytes=0-1,3-4"}).status, 200)
    far = gw.get(path, headers={"Range": "bytes=999-"})
    problem(far, 416)
    expect("content-range", far.headers["Content-Range"], f"bytes */{len(log.all)}")
    expect("no range of a filtered one", gw.get(path + "?stream=stdout", headers={"Range": "bytes=0-0"}).status, 200)


def test_logs_large_and_exact(pg, gw):
    job = submit(pg)
    log = Log(pg, job)
    for i in range(24):
        log.add(*[(STDOUT, os.urandom(40_000)), (STDERR, os.urandom(1000)), (STDOUT, os.urandom(90_000))], notify=False)
    log.end()
    expect("bytes", hashlib.sha256(gw.get(f"/v1/jobs/{job}/logs").data).hexdigest(), log.hash.hexdigest())
    middle = gw.get(f"/v1/jobs/{job}/logs", headers={"Range": "bytes=1000001-2500000"}).data
    expect("range", middle, log.all[1000001:2500001])
    lines = gw.get(f"/v1/jobs/{job}/logs", headers={"Accept": "application/x-ndjson"}).data.decode().splitlines()
    expect("ndjson", rebuild(map(json.loads, lines)), log.all)
    expect("job", gw.get(f"/v1/jobs/{job}").json["log"],
           {"bytes": len(log.all), "stored_bytes": len(log.all), "complete": True, "truncated": False,
            "sha256": log.hash.hexdigest()})


def data_of(message):
    return message["text"].encode() if "text" in message else base64.b64decode(message["base64"])


def rebuild(messages, start=0):
    """The bytes of log messages, their offsets checked."""
    out, at = b"", start
    for m in messages:
        if m["type"] == "log":
            expect("offset", m["offset"], at)
            out += data_of(m)
            at += len(data_of(m))
        elif m["type"] == "gap":
            expect("offset of a gap", m["offset"], at)
            at += m["bytes"]
        elif m["type"] == "attempt":
            at = 0
        elif m["type"] in ("hello", "end"):
            expect("offset of " + m["type"], m["offset"], at)
    return out


def test_logs_gaps(pg, gw):
    job = submit(pg)
    log = Log(pg, job, limit=20)
    log.add(b"0123456789").limit_gap(1000).add(b"abcdefghij").lost(7).add(b"xyz").end()
    path = f"/v1/jobs/{job}/logs"
    answer = gw.get(path, headers={"Range": "bytes=0-3"})
    expect("text without gaps, no range", (answer.status, answer.data), (200, b"0123456789abcdefghijxyz"))
    lines = [json.loads(x) for x in gw.get(path, headers={"Accept": "application/x-ndjson"}).data.splitlines()]
    expect("rebuilt", rebuild(lines), b"0123456789abcdefghijxyz")
    gaps = [(m["offset"], m["bytes"], m["cause"]) for m in lines if m["type"] == "gap"]
    expect("gaps", gaps, [(10, 1000, "log_limit"), (1020, 7, "lost")])
    inside = [json.loads(x) for x in gw.get(path + "?offset=500", headers={"Accept": "application/x-ndjson"}).data.splitlines()]
    expect("from within a gap", (inside[0]["type"], inside[0]["offset"], inside[0]["bytes"]), ("gap", 500, 510))
    expect("truncated", gw.get(f"/v1/jobs/{job}").json["log"]["truncated"], True)
    # Nothing behind the gap is there yet.
    job = submit(pg)
    Log(pg, job).add(b"head").limit_gap(50)
    lines = [json.loads(x) for x in gw.get(f"/v1/jobs/{job}/logs", headers={"Accept": "application/x-ndjson"}).data.splitlines()]
    expect("a gap at the end", [(m["type"], m["offset"]) for m in lines], [("log", 0), ("gap", 4)])


def test_logs_follow(pg, gw):
    job = submit(pg)
    connection = http.client.HTTPConnection("127.0.0.1", gw.port, timeout=20)
    connection.request("GET", f"/v1/jobs/{job}/logs?follow=true", headers={"Authorization": "Bearer " + TOKEN})
    answer = connection.getresponse()
    log = Log(pg, job)
    log.status("running")
    log.add(b"first\n")
    expect("live", answer.read1(100), b"first\n")
    log.add(b"second\n")
    expect("live", answer.read1(100), b"second\n")
    log.add(b"third\n", notify=False).end(notify=False)
    expect("the rest", answer.read(), b"third\n")
    expect("the same connection", gw.get("/healthz", connection=connection).status, 200)
    connection.close()
    # One that goes away while nothing comes is noticed.
    job = submit(pg)
    gone = socket.create_connection(("127.0.0.1", gw.port))
    gone.sendall(f"GET /v1/jobs/{job}/logs?follow=1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
    expect("begun", gone.recv(20)[:15], b"HTTP/1.1 200 OK")
    gone.close()
    expect("goes on", gw.get("/healthz").status, 200)


def test_logs_sse(pg, gw):
    job = submit(pg)
    log = Log(pg, job)
    log.add(b"a\n", b"b\n").end()
    sse = {"Accept": "text/event-stream"}
    text = gw.get(f"/v1/jobs/{job}/logs?follow=true", headers=sse)
    expect("type", text.headers["Content-Type"], "text/event-stream")
    events = [e.split("\n") for e in text.data.decode().split("\n\n") if e]
    expect("types", [json.loads(e[1][6:])["type"] for e in events], ["hello", "log", "log", "end"])
    expect("ids", [e[0] for e in events], ["id: 1:0", "id: 1:2", "id: 1:4", "id: 1:4"])
    rest = gw.get(f"/v1/jobs/{job}/logs?follow=true", headers={**sse, "Last-Event-ID": "1:2"}).data.decode()
    expect("resumed", [json.loads(line[6:])["type"] for line in rest.split("\n") if line.startswith("data")],
           ["hello", "log", "end"])
    problem(gw.get(f"/v1/jobs/{job}/logs", headers={**sse, "Last-Event-ID": "nonsense"}), 400)


# --- Live ---


def connect(gw, job, query="", token=TOKEN, subprotocols=("berth.v1",), **kw):
    headers = {"Authorization": "Bearer " + token} if token else {}
    return websockets.connect(f"ws://127.0.0.1:{gw.port}/v1/jobs/{job}/stream{query}", extra_headers=headers,
                              subprotocols=list(subprotocols) if subprotocols else None, compression=None,
                              max_size=None, **kw)


async def collect(ws):
    messages = []
    try:
        async for text in ws:
            messages.append(json.loads(text))
    except websockets.ConnectionClosed:
        pass
    return messages, ws.close_code


async def take(ws, seconds=10):
    return json.loads(await asyncio.wait_for(ws.recv(), seconds))


def whole(gw, job, query="", **kw):
    async def run():
        async with connect(gw, job, query, **kw) as ws:
            return await asyncio.wait_for(collect(ws), 30)
    return asyncio.run(run())


def test_ws_ended(pg, gw):
    job = submit(pg)
    log = Log(pg, job).add(b"hi\n", (STDERR, b"oops\n")).end("failed", 4)
    messages, code = whole(gw, job)
    expect("types", [m["type"] for m in messages], ["hello", "log", "log", "end"])
    expect("hello", messages[0], {"type": "hello", "job": job, "attempt": 1, "status": "failed", "offset": 0})
    expect("log", messages[1], {"type": "log", "offset": 0, "ts": "2023-11-14T22:13:21.000000Z", "stream": "stdout",
                                "text": "hi\n"})
    expect("stream", messages[2]["stream"], "stderr")
    expect("end", messages[3], {"type": "end", "offset": 8, "status": "failed", "exit_code": 4,
                                "sha256": log.hash.hexdigest()})
    expect("close", code, 1000)
    expect("offset", rebuild(whole(gw, job, "?offset=3")[0], 3), b"oops\n")
    expect("tail", rebuild(whole(gw, job, "?tail=1")[0], 3), b"oops\n")
    only = [m for m in whole(gw, job, "?stream=stderr")[0] if m["type"] == "log"]
    expect("stream", [(m["offset"], m["text"]) for m in only], [(3, "oops\n")])


def test_ws_live(pg, gw):
    job = submit(pg)

    async def run():
        async with connect(gw, job) as ws:
            expect("hello", (await take(ws))["status"], "queued")
            log = Log(pg, job)
            log.status("running")
            statuses = []
            while not statuses or statuses[-1] != "running":
                m = await take(ws)
                expect("status", (m["type"], m["attempt"]), ("status", 1))
                statuses.append(m["status"])
            for i in range(20):
                log.add(b"line %d\n" % i)
                m = await take(ws)
                expect("live", (m["type"], m["text"]), ("log", f"line {i}\n"))
            log.add(b"not told\n", notify=False)
            expect("the poll finds it", (await take(ws))["text"], "not told\n")
            log.add(b"last\n").end()
            messages, code = await asyncio.wait_for(collect(ws), 10)
            expect("rest", [m["type"] for m in messages], ["log", "end"])
            expect("sha256", messages[-1]["sha256"], log.hash.hexdigest())
            expect("close", code, 1000)
    asyncio.run(run())


def test_ws_resume(pg, gw):
    """Viewers that break off and come back with their offset get exactly the rest, while the log grows."""
    job = submit(pg)
    log = Log(pg, job)
    log.status("running")
    text = "".join(f"zeile {i} äöü€𝄞\n" for i in range(400)).encode()
    done = threading.Event()

    def writer():
        for i in range(0, len(text), 37):
            log.add(text[i:i + 37], notify=i % 3 == 0)
        log.end()
        done.set()

    thread = threading.Thread(target=writer)
    thread.start()

    async def viewer(patience):
        got, at, code = b"", 0, None
        while code != 1000:
            async with connect(gw, job, f"?offset={at}") as ws:
                taken = 0
                try:
                    while taken < patience:
                        m = await take(ws, 20)
                        if m["type"] != "log":
                            continue
                        expect("a character is not split", "text" in m, True)
                        expect("offset", m["offset"], at)
                        got += data_of(m)
                        at += len(data_of(m))
                        taken += 1
                except websockets.ConnectionClosed:
                    code = ws.close_code
        return got

    async def run():
        return await asyncio.gather(*[viewer(p) for p in (3, 7, 50, 100000)])
    for got in asyncio.run(run()):
        expect("all of it", hashlib.sha256(got).hexdigest(), hashlib.sha256(text).hexdigest())
    thread.join()


def test_ws_utf8(pg, gw):
    euro = "€".encode()
    job = submit(pg)

    async def run():
        async with connect(gw, job) as ws:
            await take(ws)
            log = Log(pg, job)
            log.add(b"a" + euro[:1])
            m = await take(ws)
            while m["type"] != "log":
                m = await take(ws)
            expect("the beginning of a character is held back", m["text"], "a")
            log.add(euro[1:2])
            log.add(euro[2:] + b"b")
            m = await take(ws)
            expect("and comes whole", (m["offset"], m["text"]), (1, "€b"))
            log.add(b"c" + euro[:2], (STDERR, b"err"), euro[2:])
            expect("up to the break", (await take(ws))["text"], "c")
            m = await take(ws)
            expect("an interrupted one is bytes", (m["stream"], data_of(m), "base64" in m), ("stdout", euro[:2], True))
            expect("the other stream", (await take(ws))["text"], "err")
            expect("and its rest", (await take(ws))["base64"], base64.b64encode(euro[2:]).decode())
            log.add(b"\x00\xff\xfe bin")
            m = await take(ws)
            expect("binary", base64.b64decode(m["base64"]), b"\x00\xff\xfe bin")
            log.add(b"z" + euro[:1]).end()
            rest, code = await asyncio.wait_for(collect(ws), 10)
            expect("the end", [m["type"] for m in rest], ["log", "log", "end"])
            expect("a character that never came", data_of(rest[1]), euro[:1])
            expect("close", code, 1000)
    asyncio.run(run())
    # A large run: cut in many messages, none of them within a character.
    job = submit(pg)
    log = Log(pg, job)
    text = ("ä€𝄞" * 60_000).encode()
    for i in range(0, len(text), 100_001):
        log.add(text[i:i + 100_001], step_us=10, notify=False)
    log.end()
    messages, _ = whole(gw, job)
    expect("text throughout", all("text" in m for m in messages if m["type"] == "log"), True)
    expect("bytes", rebuild(messages), text)


def test_ws_gap_and_retry(pg, gw):
    job = submit(pg)
    log = Log(pg, job, limit=6).add(b"abc").limit_gap(100).add(b"xyz")
    log.end("failed", 1, job_status="retrying")

    async def run():
        async with connect(gw, job) as ws:
            got = [await take(ws) for _ in range(4)]
            expect("types", [m["type"] for m in got], ["hello", "log", "gap", "log"])
            expect("gap", (got[2]["offset"], got[2]["bytes"], got[2]["cause"]), (3, 100, "log_limit"))
            second = Log(pg, job, number=2)
            second.add(b"again\n").end()
            rest, code = await asyncio.wait_for(collect(ws), 10)
            expect("types", [m["type"] for m in rest if m["type"] != "status"], ["attempt", "log", "end"])
            expect("attempt", next(m for m in rest if m["type"] == "attempt")["attempt"], 2)
            expect("offset", (rest[-1]["offset"], rest[-1]["status"], code), (6, "succeeded", 1000))
    asyncio.run(run())
    messages, code = whole(gw, job, "?attempt=1")
    expect("of one attempt", (messages[-1]["type"], messages[-1]["status"], messages[-1]["exit_code"], code),
           ("end", "failed", 1, 1000))
    expect("text follows too", gw.get(f"/v1/jobs/{job}/logs?follow=true&attempt=1").data, b"abcxyz")


def test_ws_token(pg, gw):
    job = submit(pg)
    Log(pg, job).add(b"x").end()

    def raw_handshake(extra):
        request = (f"GET /v1/jobs/{job}/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                   f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                   f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extra}\r\n")
        with socket.create_connection(("127.0.0.1", gw.port), timeout=10) as s:
            s.sendall(request.encode())
            out = b""
            while b"\r\n\r\n" not in out:
                piece = s.recv(4096)
                if not piece:
                    break
                out += piece
            return out.split(b"\r\n\r\n")[0].decode()

    header = raw_handshake(f"Sec-WebSocket-Protocol: berth.v1, bearer.{TOKEN}\r\n")
    expect("only berth.v1 comes back", [x for x in header.split("\r\n") if "rotocol:" in x],
           ["Sec-WebSocket-Protocol: berth.v1"])
    expect("code", header.split("\r\n")[0].split()[1], "101")
    expect("no subprotocol, no token", raw_handshake("").split()[1], "401")
    expect("another subprotocol", raw_handshake("Sec-WebSocket-Protocol: chat\r\n").split()[1], "400")
    expect("the loop's own name", raw_handshake("Sec-WebSocket-Protocol: berth-loop\r\n").split()[1], "400")
    expect("too long", raw_handshake(f"Sec-WebSocket-Protocol: berth.v1, bearer.{'x' * 200}\r\n").split()[1], "400")
    messages, code = whole(gw, job, token=None, subprotocols=("berth.v1", "bearer." + TOKEN))
    expect("token as subprotocol", (messages[-1]["type"], code), ("end", 1000))
    messages, code = whole(gw, job, subprotocols=None)
    expect("no subprotocol but a token", (messages[-1]["type"], code), ("end", 1000))
    expect("no token", whole(gw, job, token=None)[1], 4401)
    expect("wrong token", whole(gw, job, token=None, subprotocols=("berth.v1", "bearer.no"))[1], 4401)
    expect("unknown job", whole(gw, NOBODY)[1], 4404)
    expect("no id", whole(gw, "xyz")[1], 4404)
    expect("unknown attempt", whole(gw, job, "?attempt=7")[1], 4404)
    expect("bad query", whole(gw, job, "?offset=x")[1], 4400)
    expect("unknown query", whole(gw, job, "?follow=1")[1], 4400)
    expect("behind the end", whole(gw, job, "?offset=50")[1], 4400)


def test_ws_many(pg, gw):
    """Viewers at all places of one log, slow ones among them, all get all of it."""
    job = submit(pg)
    log = Log(pg, job)
    for _ in range(10):
        log.add(os.urandom(150_000), notify=False)

    async def viewer(i):
        async with connect(gw, job, f"?offset={i * 40_000}", max_queue=1, read_limit=2 ** 14) as ws:
            if i % 5 == 0:
                await asyncio.sleep(0.5)
            messages, code = await asyncio.wait_for(collect(ws), 60)
            return rebuild(messages, i * 40_000) == log.all[i * 40_000:] and code == 1000

    async def run():
        tasks = [asyncio.ensure_future(viewer(i)) for i in range(25)]
        await asyncio.sleep(0.3)
        log.add(b"the last line\n").end()
        return await asyncio.gather(*tasks)
    expect("all", all(asyncio.run(run())), True)


# --- The process ---


def test_slowloris(pg, gw):
    """A request that never gets whole ends by itself; others are served meanwhile."""
    slow = [socket.create_connection(("127.0.0.1", gw.port)) for _ in range(30)]
    for s in slow[:10]:
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n")
    for s in slow[10:20]:
        s.sendall(f"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n"
                  f"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
    expect("others", gw.get("/healthz").status, 200)
    end = time.monotonic() + 45
    for s in slow[:20]:
        s.settimeout(max(0.1, end - time.monotonic()))
        beat = 0
        try:
            while s.recv(100):
                beat += 1
        except ConnectionResetError:
            pass
        s.close()
    for s in slow[20:]:
        s.close()
    too_long = gw.raw(b"GET /healthz HTTP/1.1\r\nX-Long: " + b"x" * 40_000 + b"\r\n\r\n")
    expect("headers have a bound", b"200 OK" in too_long, False)
    expect("others", gw.get("/healthz").status, 200)


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_idle_does_not_spin(pg, gw):
    """Waiting viewers and requests, and a client that left without a word, cost no processor."""
    job = submit(pg)
    connections = []
    for path, behind in ((f"/v1/jobs/{job}?wait=30s", "GET / HTTP/1.1\r\n"), (f"/v1/jobs/{job}/logs?follow=true", "")):
        s = socket.create_connection(("127.0.0.1", gw.port))
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n{behind}".encode())
        connections.append(s)

    async def run():
        async with connect(gw, job) as ws:
            await take(ws)
            before = cpu_seconds(gw.process.pid)
            await asyncio.sleep(2)
            return cpu_seconds(gw.process.pid) - before
    used = asyncio.run(run())
    expect(f"little processor time ({used} s)", used < 0.5, True)
    for s in connections:
        s.close()


def test_database_away(pg, gw):
    job = submit(pg)
    log = Log(pg, job)
    log.add(b"before\n")

    async def run():
        async with connect(gw, job) as ws:
            got = [await take(ws), await take(ws)]
            pg.stop()
            answer = await asyncio.to_thread(gw.get, f"/v1/jobs/{job}")
            problem(answer, 503)
            expect("Retry-After", answer.headers["Retry-After"].isdigit(), True)
            problem(await asyncio.to_thread(gw.post, "/v1/jobs", BASE), 503)
            problem(await asyncio.to_thread(gw.get, f"/v1/jobs/{job}/logs"), 503)
            ready = await asyncio.to_thread(gw.get, "/readyz", token=None)
            expect("readyz", (ready.status, ready.json["checks"]["database"]["state"]), (503, "away"))
            expect("healthz", (await asyncio.to_thread(gw.get, "/healthz")).status, 200)
            await asyncio.to_thread(pg.start)
            await asyncio.to_thread(until, "the database is back",
                                    lambda: gw.get(f"/v1/jobs/{job}").status == 200, 30)
            await asyncio.to_thread(lambda: log.add(b"after\n").end())
            rest, code = await asyncio.wait_for(collect(ws), 20)
            expect("the viewer stayed", (rebuild(got + rest), code), (b"before\nafter\n", 1000))
    asyncio.run(run())
    ready = gw.get("/readyz", token=None)
    expect("readyz", (ready.status, ready.json["checks"]["schema"]["version"] >= 1), (200, True))


def test_going_away(pg, gw):
    """End of file on descriptor 3, and TERM: viewers are told 1001, the exit status is 0."""
    job = submit(pg)

    async def run(other, how):
        async with connect(other, job) as ws:
            await take(ws)
            how()
            _, code = await asyncio.wait_for(collect(ws), 10)
            return code
    other = Gateway(PROGRAM, pg.url).ready()
    expect("1001", asyncio.run(run(other, other.control.close)), 1001)
    expect("exit status", other.end(), 0)
    other = Gateway(PROGRAM, pg.url).ready()
    expect("1001", asyncio.run(run(other, lambda: other.process.send_signal(signal.SIGTERM))), 1001)
    expect("exit status", other.end(), 0)


def test_port_in_use(pg, gw):
    other = Gateway(PROGRAM, pg.url, port=gw.port)
    expect("exit status", other.process.wait(10), 64)
    other.reader.join(5)
    text = "".join(other.log)
    expect("address and remedy", (f"127.0.0.1:{gw.port}" in text, "BERTH_LISTEN" in text), (True, True))
    other.control.close()
    other = Gateway(PROGRAM, pg.url, listen="nonsense")
    expect("exit status", other.process.wait(10), 64)
    other.control.close()


def test_addresses(pg, gw):
    port = free_port()
    for listen, host in ((f"[::1]:{port}", "::1"), (f":{port}", "127.0.0.1")):
        other = Gateway(PROGRAM, pg.url, listen=listen).ready()
        connection = http.client.HTTPConnection(host, port, timeout=10)
        connection.request("GET", "/healthz")
        expect("answer on " + listen, connection.getresponse().status, 200)
        connection.close()
        expect("exit status", other.end(), 0)


def test_auth_off(pg, gw):
    other = Gateway(PROGRAM, pg.url, auth="off").ready()
    expect("no token needed", other.get("/v1/jobs?limit=1", token=None).status, 200)
    job = submit(pg)
    Log(pg, job).end()
    expect("nor here", whole(other, job, token=None)[1], 1000)
    try:
        whole(other, job, token=None, origin="http://evil.example")
        raise AssertionError("a page of another site was let in")
    except websockets.InvalidStatusCode as refused:
        expect("status", refused.status_code, 403)
    expect("exit status", other.end(), 0)


def main():
    names = sys.argv[3:]
    tests = [(n, f) for n, f in globals().items() if n.startswith("test_") and (not names or n in names)]
    pg = Postgres()
    failed = 0
    try:
        subprocess.run([PROGRAM, pg.url], check=True)
        gw = Gateway(PROGRAM, pg.url).ready()
        for name, test in tests:
            started = time.monotonic()
            try:
                test(pg, gw)
                print(f"ok   {name} ({time.monotonic() - started:.1f} s)", flush=True)
            except Exception:  # noqa: BLE001: the next test may tell more
                failed += 1
                print(f"FAIL {name}", flush=True)
                traceback.print_exc()
                if gw.process.poll() is not None:
                    print("the gateway ended:", gw.process.returncode, "".join(gw.log[-60:]), flush=True)
                    gw = Gateway(PROGRAM, pg.url).ready()
        status = gw.end()
        if status != 0:
            failed += 1
            print("FAIL the end of the gateway:", status)
        for line in gw.log:
            if "Sanitizer" in line or '"level":"error"' in line or not line.startswith("{"):
                print(line, end="")
    finally:
        pg.close()
    print(f"{len(tests) - failed} of {len(tests)} passed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
