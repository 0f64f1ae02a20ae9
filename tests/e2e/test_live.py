"""The live log, read by a client that no one here wrote, and by our own."""
import asyncio
import hashlib
import json
import subprocess

import pytest
import websockets

from support import BUILD, message_bytes, wait_until


def stream(berth, job, query="", token=None, until=None):
    """All messages of a viewer until `until` says so or the server closes; the close code."""
    async def read():
        headers = {"Authorization": f"Bearer {token or berth.token}"}
        url = berth.url.replace("http", "ws") + f"/v1/jobs/{job}/stream{query}"
        got = []
        async with websockets.connect(url, subprotocols=["berth.v1"], extra_headers=headers, max_size=None) as ws:
            assert ws.subprotocol == "berth.v1"
            try:
                while True:
                    got.append(json.loads(await asyncio.wait_for(ws.recv(), 90)))
                    if until and until(got):
                        return got, None
            except websockets.ConnectionClosed:
                return got, ws.close_code
    return asyncio.run(read())


def log_bytes(messages):
    expected = None
    out = b""
    for m in messages:
        if m["type"] == "log":
            assert expected is None or m["offset"] == expected, "no hole, nothing twice"
            out += message_bytes(m)
            expected = m["offset"] + len(message_bytes(m))
    return out


def test_hello_log_status_end(berth):
    job = berth.script("for i in 1 2 3 4 5 6; do echo line $i; sleep 0.2; done; echo oops >&2; exit 4")
    messages, code = stream(berth, job)
    assert code == 1000
    assert messages[0]["type"] == "hello" and messages[0]["job"] == job and messages[0]["offset"] == 0
    assert log_bytes(messages) == b"".join(b"line %d\n" % i for i in range(1, 7)) + b"oops\n"
    assert [m["stream"] for m in messages if m["type"] == "log"][-1] == "stderr"
    end = messages[-1]
    assert {k: end[k] for k in ("type", "offset", "status", "exit_code")} == {
        "type": "end", "offset": 47, "status": "failed", "exit_code": 4}
    assert end["sha256"] == hashlib.sha256(log_bytes(messages)).hexdigest()
    assert "running" in [m["status"] for m in messages if m["type"] == "status"] or messages[0]["status"] == "running"


def test_it_is_live(berth):
    job = berth.script("echo first; cat /dev/zero | head -c 0; sleep 600")
    messages, _ = stream(berth, job, until=lambda got: b"first\n" in log_bytes(got))
    assert berth.job(job)["finished_at"] is None, "seen while it runs"
    berth.cancel(job, force=True)
    berth.wait(job)


def test_a_viewer_sees_what_passes_between_head_and_tail(berth):
    """Bursts of more than the whole limit, with time to read each."""
    bursts = "yes begun | head -n 8000; sleep 2; yes after | head -n 8000; sleep 2"
    job = berth.script(bursts, limits={"log": "16k"})
    messages, code = stream(berth, job)
    assert code == 1000
    assert [m for m in messages if m["type"] == "gap"] == []
    assert log_bytes(messages) == b"begun\n" * 8000 + b"after\n" * 8000
    view = berth.wait(job)
    assert (view["log"]["stored_bytes"], view["log"]["truncated"]) == (16384, True), "afterwards head and tail are left"
    assert [m["bytes"] for m in berth.messages(job) if m["type"] == "gap"] == [96000 - 16384]


def test_a_viewer_that_comes_back_misses_nothing_and_sees_nothing_twice(berth):
    job = berth.script("i=0; while [ $i -lt 40 ]; do echo line $i; i=$((i+1)); sleep 0.05; done")
    whole, offset = b"", 0
    while True:
        messages, code = stream(berth, job, f"?offset={offset}", until=lambda got: len([m for m in got if m["type"] == "log"]) >= 5)
        part = log_bytes(messages)
        whole += part
        offset += len(part)
        if code == 1000:
            break
    assert whole == b"".join(b"line %d\n" % i for i in range(40))


def test_token_in_the_subprotocol_as_browsers_do(berth):
    job = berth.run("echo for browsers")["id"]

    async def read():
        url = berth.url.replace("http", "ws") + f"/v1/jobs/{job}/stream"
        async with websockets.connect(url, subprotocols=["berth.v1", f"bearer.{berth.token}"]) as ws:
            assert ws.subprotocol == "berth.v1"
            return [json.loads(m) async for m in ws]
    assert log_bytes(asyncio.run(read())) == b"for browsers\n"


@pytest.mark.parametrize("token", ["wrong", "berth_"])
def test_a_wrong_token(berth, token):
    job = berth.run("true")["id"]
    try:
        messages, code = stream(berth, job, token=token)
    except websockets.InvalidStatusCode as e:
        assert e.status_code == 401
    else:
        assert code == 4401 and not messages


def test_no_such_job_and_bad_offset(berth):
    for path, close, status in (("01890000-0000-7000-8000-000000000000", 4404, 404), (berth.run("true")["id"], 4400, 400)):
        try:
            messages, code = stream(berth, path, "?offset=-1" if close == 4400 else "")
        except websockets.InvalidStatusCode as e:
            assert e.status_code in (status, 422)
        else:
            assert code == close and not [m for m in messages if m["type"] != "hello"]


def test_many_viewers_see_the_same(berth):
    job = berth.script("i=0; while [ $i -lt 2000 ]; do echo a line of some length, number $i; i=$((i+1)); done; sleep 1; echo done")

    async def one():
        url = berth.url.replace("http", "ws") + f"/v1/jobs/{job}/stream"
        async with websockets.connect(url, subprotocols=["berth.v1"], max_size=None,
                                      extra_headers={"Authorization": f"Bearer {berth.token}"}) as ws:
            return [json.loads(m) async for m in ws]

    async def many():
        return await asyncio.gather(*[one() for _ in range(25)])
    digests = {hashlib.sha256(log_bytes(m)).hexdigest() for m in asyncio.run(many())}
    assert digests == {berth.wait(job)["log"]["sha256"]}


def test_our_own_client_follows(berth):
    job = berth.script("i=0; while [ $i -lt 20 ]; do echo out $i; echo err $i >&2; i=$((i+1)); sleep 0.05; done; exit 3")
    done = berth.client("logs", "-f", job)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"".join(b"out %d\n" % i for i in range(20))
    assert done.stderr == b"".join(b"err %d\n" % i for i in range(20))
    assert berth.client("wait", job).returncode == 3
