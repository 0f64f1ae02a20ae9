"""The gateway as a process: slow clients, idle ones, a database that goes away, its end, its settings."""

import asyncio
import http.client
import os
import signal
import socket
import subprocess
import time

import websockets

from gateway_checks import BASE, NOBODY, collect, connect, cpu_seconds, expect, problem, rebuild, run_all, take, whole
from gateway_rig import TOKEN, Gateway, Log, free_port, submit, until


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


def test_ready(pg, gw):
    """503 whenever something is away, and the right thing is named."""
    def checks():
        ready = gw.get("/readyz", token=None)
        return ready.status, {k: v["state"] for k, v in ready.json["checks"].items() if k not in ("engine", "state_dir")}
    pg.sql("delete from berth.orchestrators")
    gw.health("engine", True)
    gw.health("state_dir", True)
    expect("no orchestrator", checks(), (503, {"database": "ok", "schema": "ok", "orchestrator": "away"}))
    pg.sql("insert into berth.orchestrators (name, state_id, version, slots, lease)"
           f" values ('test', '{NOBODY}', '0', 1, '1 hour')")
    expect("all there", checks(), (200, {"database": "ok", "schema": "ok", "orchestrator": "ok"}))
    expect("version", gw.get("/readyz").json["checks"]["schema"]["version"] >= 1, True)
    pg.sql("update berth.orchestrators set heartbeat_at = now() - interval '2 hours'")
    expect("no heartbeat", checks(), (503, {"database": "ok", "schema": "ok", "orchestrator": "away"}))
    pg.sql("alter table berth.schema_migrations rename to elsewhere")
    expect("no schema", checks(), (503, {"database": "ok", "schema": "missing", "orchestrator": "unknown"}))
    pg.sql("alter table berth.elsewhere rename to schema_migrations;"
           "update berth.orchestrators set lease = '170000 years', heartbeat_at = '290000-01-01'")
    answer = gw.get("/readyz", token=None)
    expect("refused", (answer.status, answer.json["checks"]["database"]["state"]), (503, "error"))
    expect("no wrong remedy", b"migrate" in answer.data, False)
    pg.sql("delete from berth.orchestrators")


def test_health_of_the_host(pg, gw):
    """What the parent tells, and the reason in its words; it is told anew whenever something changes."""
    other = Gateway(gw.program, pg.url).ready()
    pg.sql("insert into berth.orchestrators (name, state_id, version, slots, lease)"
           f" values ('host', '{NOBODY}', '0', 1, '1 hour')")

    def check(part):
        ready = other.get("/readyz", token=None)
        return (ready.status, ready.json["checks"][part]["state"], ready.json["checks"][part]["detail"])
    expect("not looked at", check("engine"), (503, "unknown", "it has not been looked at yet"))
    problem(other.get("/health/docker", token=None), 503)
    other.health("engine", True)
    until("the engine is there", lambda: check("engine") == (503, "ok", None))
    expect("the engine answers", (other.get("/health/docker", token=None).status, other.get("/health/docker").json["status"]),
           (200, "connected"))
    other.health("state_dir", True)
    until("all there", lambda: check("state_dir") == (200, "ok", None))
    other.health("engine", False, "no such socket")
    until("the engine is away", lambda: check("engine") == (503, "away", "no such socket"))
    expect("why", "no such socket" in problem(other.get("/health/docker", token=None), 503)["detail"], True)
    expect("health of the process", other.get("/health", token=None).status, 200)
    other.health("engine", True)
    other.health("state_dir", False, "its disk is full")
    until("no room", lambda: check("state_dir") == (503, "away", "its disk is full"))
    pg.sql("delete from berth.orchestrators")
    expect("end", other.end(), 0)


def test_silent_database(pg, gw):
    """A table that is locked: whoever asks for health hears soon that there is no answer, others later that it is busy."""
    locker = subprocess.Popen([os.path.join(pg.bin, "psql"), pg.url, "-qAt"], stdin=subprocess.PIPE)
    locker.stdin.write(b"begin; lock table berth.orchestrators, berth.jobs; select pg_sleep(60);\n")
    locker.stdin.flush()
    until("it is locked", lambda: pg.sql("select count(*) from pg_locks where mode = 'AccessExclusiveLock' and granted") != "0")
    begin = time.monotonic()
    ready = gw.get("/readyz", token=None)
    expect("readyz", (ready.status, ready.json["checks"]["database"]["state"]), (503, "away"))
    expect("soon", time.monotonic() - begin < 8, True)
    answer = gw.get("/v1/jobs", timeout=60)
    expect("busy", "lock" in problem(answer, 503)["detail"] and int(answer.headers["Retry-After"]) > 0, True)
    locker.kill()
    locker.wait()
    pg.sql("select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep%' and pid <> pg_backend_pid()")
    until("it answers", lambda: gw.get("/v1/jobs").status == 200)


def test_going_away(pg, gw):
    """End of file on descriptor 3, and TERM: viewers are told 1001, the exit status is 0."""
    job = submit(pg)

    async def run(other, how):
        async with connect(other, job) as ws:
            await take(ws)
            how()
            _, code = await asyncio.wait_for(collect(ws), 10)
            return code
    other = Gateway(gw.program, pg.url).ready()
    expect("1001", asyncio.run(run(other, other.control.close)), 1001)
    expect("exit status", other.end(), 0)
    other = Gateway(gw.program, pg.url).ready()
    expect("1001", asyncio.run(run(other, lambda: other.process.send_signal(signal.SIGTERM))), 1001)
    expect("exit status", other.end(), 0)


def test_port_in_use(pg, gw):
    other = Gateway(gw.program, pg.url, port=gw.port)
    expect("exit status", other.process.wait(10), 64)
    other.reader.join(5)
    text = "".join(other.log)
    expect("address and remedy", (f"127.0.0.1:{gw.port}" in text, "BERTH_LISTEN" in text), (True, True))
    other.control.close()
    other = Gateway(gw.program, pg.url, listen="nonsense")
    expect("exit status", other.process.wait(10), 64)
    other.control.close()


def test_port_gets_free(pg, gw):
    """As after a restart, when the socket of the one before is still dying."""
    taken = socket.create_server(("127.0.0.1", 0))
    other = Gateway(gw.program, pg.url, port=taken.getsockname()[1])
    until("it tries", lambda: "database reached" in "".join(other.log))
    expect("it does not give up", other.process.poll(), None)
    taken.close()
    other.ready()
    expect("answer", other.get("/healthz").status, 200)
    expect("exit status", other.end(), 0)


def test_addresses(pg, gw):
    port = free_port()
    for listen, host in ((f"[::1]:{port}", "::1"), (f":{port}", "127.0.0.1"), (f"*:{port}", "127.0.0.1")):
        other = Gateway(gw.program, pg.url, listen=listen).ready()
        connection = http.client.HTTPConnection(host, port, timeout=10)
        connection.request("GET", "/healthz")
        expect("answer on " + listen, connection.getresponse().status, 200)
        connection.close()
        expect("exit status", other.end(), 0)


def test_few_open_files(pg, gw):
    """More connections than descriptors: the surplus is turned away, without a processor spent on it."""
    other = Gateway(gw.program, pg.url, open_files=192).ready()
    clients = [socket.create_connection(("127.0.0.1", other.port)) for _ in range(400)]

    def turned_away():
        n = 0
        for s in clients:
            s.setblocking(False)
            try:
                n += s.recv(1) == b""
            except BlockingIOError:
                pass
            except ConnectionResetError:
                n += 1
        return n
    until("the surplus is turned away", lambda: turned_away() == 400 - 128)
    before = cpu_seconds(other.process.pid)
    time.sleep(1)
    expect("idle", cpu_seconds(other.process.pid) - before < 0.1, True)
    expect("it is told", any("few open files" in line for line in other.log), True)
    for s in clients:
        s.close()

    def answers():
        try:
            return other.get("/healthz").status == 200
        except OSError:
            return False
    until("there is room again", answers)
    expect("exit status", other.end(), 0)


def test_auth_off(pg, gw):
    other = Gateway(gw.program, pg.url, auth="off").ready()
    expect("no token needed", other.get("/v1/jobs?limit=1", token=None).status, 200)
    job = submit(pg)
    Log(pg, job).end()
    expect("nor here", whole(other, job, token=None)[1], 1000)
    try:
        whole(other, job, token=None, origin="http://evil.example")
        raise AssertionError("a page of another site was let in")
    except websockets.InvalidStatusCode as refused:
        expect("status", refused.status_code, 403)
    own = f"127.0.0.1:{other.port}"
    for path, headers, status in (("/v1/jobs", {"Origin": "http://evil.example"}, 403),
                                  ("/v1/jobs", {"Origin": "null"}, 403),
                                  ("/v1/jobs", {"Origin": "http://" + "x" * 1000}, 403),
                                  ("/healthz", {"Host": "evil.example"}, 403),
                                  ("/v1/jobs", {"Host": f"evil.example:{other.port}"}, 403),
                                  ("/v1/jobs", {"Host": "evil.example", "Origin": "http://evil.example"}, 403),
                                  ("/v1/jobs", {"Host": "localhost:9"}, 200), ("/v1/jobs", {"Host": "[::1]"}, 200),
                                  ("/v1/jobs", {"Host": own, "Origin": "http://" + own}, 200)):
        answer = other.get(path, token=None, headers=headers)
        expect(f"{path} {headers}", answer.status, status)
        if status == 403:
            problem(answer, 403)
    expect("with a token any page may ask", gw.get("/v1/jobs", headers={"Origin": "http://a.example"}).status, 200)
    expect("exit status", other.end(), 0)


if __name__ == "__main__":
    run_all(globals())
