"""What the tests of the gateway have in common: how they state what they expect, how they read a live log, and how
they are run.

gateway_*_test.py PROGRAM [NAME…]: PROGRAM is gateway_child; NAMEs pick tests."""

import asyncio
import base64
import json
import os
import subprocess
import sys
import time
import traceback

import websockets

from gateway_rig import TOKEN, Gateway, Postgres

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


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run_all(module):
    """Runs the tests of a module (its globals), in their order, on one PostgreSQL and one gateway."""
    program, names = sys.argv[1], sys.argv[2:]
    tests = [(n, f) for n, f in module.items() if n.startswith("test_") and (not names or n in names)]
    pg = Postgres()
    failed = 0
    try:
        subprocess.run([program, pg.url], check=True)
        gw = Gateway(program, pg.url).ready()
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
                    gw = Gateway(program, pg.url).ready()
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
