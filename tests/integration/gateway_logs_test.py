"""Logs of the gateway on a real PostgreSQL: as text, ranges, ndjson and SSE, and live over WebSocket."""

import asyncio
import base64
import hashlib
import http.client
import json
import os
import socket
import threading

import websockets

from gateway_checks import NOBODY, collect, connect, data_of, expect, problem, rebuild, run_all, take, whole
from gateway_rig import STDERR, STDOUT, TOKEN, Log, submit


def test_logs_text(pg, gw):
    job = submit(pg)
    path = f"/v1/jobs/{job}/logs"
    expect("none yet", gw.get(path).data, b"")
    log = Log(pg, job)
    log.add(b"one\n", (STDERR, b"two\n"), b"three\n").add(b"four\n", b"fi").add(b"ve\n")
    answer = gw.get(path)
    expect("type", answer.headers["Content-Type"], "text/plain; charset=utf-8")
    expect("whole", answer.data, log.all)
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
    log.end()
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


def test_length_is_kept(pg, gw):
    """A log that grows has no Content-Length; one that is shorter than it says ends with its connection."""
    job = submit(pg)
    log = Log(pg, job).add(b"one\n").add(b"two\n")
    path = f"/v1/jobs/{job}/logs"
    growing = gw.get(path, headers={"Range": "bytes=0-1"})
    expect("it grows", (growing.status, growing.data, "Content-Length" in growing.headers), (200, log.all, False))
    log.end()
    expect("it has ended", gw.get(path).headers["Content-Length"], "8")
    pg.sql(f"delete from berth.log_chunks where attempt_id = {log.id} and log_offset = 4")
    out = gw.raw(f"GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
    expect("what there is", out.split(b"\r\n\r\n", 1)[1], b"one\n")


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
    job = submit(pg)
    log = Log(pg, job, limit=20).add(b"0123456789").lost(10)
    expect("lost is not truncated", gw.get(f"/v1/jobs/{job}").json["log"]["truncated"], False)
    log.lost(1)
    expect("but counts", gw.get(f"/v1/jobs/{job}").json["log"]["truncated"], True)
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
    messages, code = whole(gw, job, "?attempt=1&offset=104")
    expect("who comes back goes on", [(m["type"], m.get("text")) for m in messages if m["type"] != "status"],
           [("hello", None), ("log", "yz"), ("attempt", None), ("log", "again\n"), ("end", None)])
    expect("to the job's end", (messages[-1]["status"], messages[-1]["offset"], code), ("succeeded", 6, 1000))


def test_streams(pg, gw):
    job = submit(pg)
    path = f"/v1/jobs/{job}/logs"
    expect("a service that may come", gw.get(path + "?stream=service:db").data, b"")
    log = Log(pg, job)
    pg.sql(f"update berth.attempts set services = '{{db,cache}}' where id = {log.id}")
    log.add((3, b"pulling\n"), (16, b"ready\n"), (1, b"out\n"), (17, b"warm\n"), (2, b"err\n"), (16, b"bye\n"))
    log.end()
    for stream, data in (("stdout", b"out\n"), ("stderr", b"err\n"), ("system", b"pulling\n"),
                         ("service:db", b"ready\nbye\n"), ("service:cache", b"warm\n")):
        expect(stream, gw.get(path + f"?stream={stream}").data, data)
        only = [m for m in whole(gw, job, f"?stream={stream}")[0] if m["type"] == "log"]
        expect(stream + " in messages", ({m["stream"] for m in only}, "".join(m["text"] for m in only)), ({stream}, data.decode()))
    expect("tail", gw.get(path + "?stream=service:db&tail=1").data, b"bye\n")
    expect("all", gw.get(path).data, log.all)
    detail = problem(gw.get(path + "?stream=service:web"), 400)["detail"]
    expect("it says which there are", detail.endswith("it has stdout, stderr, system, service:db and service:cache"), True)
    expect("unknown", whole(gw, job, "?stream=service:web")[1], 4400)
    problem(gw.get(path + "?stream=service"), 400)


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


if __name__ == "__main__":
    run_all(globals())
