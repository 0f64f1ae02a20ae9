"""More output than the log may hold: head and tail exact, one gap, and nobody else suffers."""
import hashlib
import os
import pathlib
import threading
import time

import pytest

from support import message_bytes, told, wait_until

LIMIT, HALF = 8 << 20, 4 << 20
# What the scribe may leave of a spool before it skips, and what a process of ours may take while a job floods.
# docs/adr has the reasons; both are named in orchestrator/scribe.
SPOOL_MAX = 256 << 20
RSS_MAX_KIB = 400 << 10  # of a build with sanitizers

FLOODS = {
    "short lines": ("yes 'a line of some seventy bytes, as compilers and tests print them all day long' | head -c 1073741824", 1 << 30),
    "one line": ("tr '\\0' x </dev/zero | head -c 209715200", 200 << 20),
    "empty lines": ("yes '' | head -n 10000000", 10_000_000),
}


def expected(name):
    _, size = FLOODS[name]
    if name == "short lines":
        line = b"a line of some seventy bytes, as compilers and tests print them all day long\n"
        head = (line * (HALF // len(line) + 1))[:HALF]
        begin = (size - HALF) % len(line)
        return head, (line * (HALF // len(line) + 2))[begin:begin + HALF]
    byte = b"x" if name == "one line" else b"\n"
    return byte * HALF, byte * HALF


class Watch(threading.Thread):
    """The largest that spool and children have become."""

    def __init__(self, berth):
        super().__init__(daemon=True)
        self.berth, self.over, self.spool, self.rss = berth, threading.Event(), 0, {}

    def run(self):
        while not self.over.wait(0.05):
            for spool in self.berth.state.glob("attempts/*/spool"):
                try:
                    self.spool = max(self.spool, spool.stat().st_blocks * 512)
                except OSError:
                    pass
            for role, pids in self.berth.children().items():
                for pid in pids:
                    try:
                        status = pathlib.Path(f"/proc/{pid}/status").read_text()
                    except OSError:
                        continue
                    for line in status.splitlines():
                        if line.startswith("VmRSS"):
                            self.rss[role] = max(self.rss.get(role, 0), int(line.split()[1]))


@pytest.mark.parametrize("name", FLOODS)
def test_flood(new_berth, name):
    berth = new_berth()
    command, size = FLOODS[name]
    watch = Watch(berth)
    watch.start()
    quiet = berth.script("i=0; while :; do echo tick $i; i=$((i+1)); sleep 0.25; done")
    wait_until(lambda: berth.output(quiet), "the quiet one writes")
    job = berth.script(command, limits={"log": "8m", "memory": "64m"})
    wait_until(lambda: berth.job(job)["log"]["bytes"], "it floods")
    grown, before = 0, len(berth.output(quiet))
    while not (view := berth.job(job))["finished_at"]:
        now = len(berth.output(quiet))
        grown, before = grown + (now > before), now
        time.sleep(0.2)
    watch.over.set()
    watch.join()
    print(name, "spool", watch.spool >> 20, "MiB; rss", {k: v >> 10 for k, v in watch.rss.items()}, "MiB")
    assert (view["status"], view["log"]["bytes"], view["log"]["stored_bytes"]) == ("succeeded", size, LIMIT), told(view)
    assert view["log"]["truncated"] and view["log"]["complete"]
    messages = berth.messages(job)
    gaps = [m for m in messages if m["type"] == "gap"]
    assert [(g["offset"], g["bytes"], g["cause"]) for g in gaps] == [(HALF, size - LIMIT, "log_limit")]
    head = b"".join(message_bytes(m) for m in messages if m["type"] == "log" and m["offset"] < HALF)
    tail = b"".join(message_bytes(m) for m in messages if m["type"] == "log" and m["offset"] >= HALF)
    assert (head, tail) == expected(name)
    # One that had to wait for the flood's end would show nothing new before it; short floods prove nothing.
    assert grown or view["usage"]["cpu_seconds"] < 4, "another job's lines arrive while one floods"
    assert watch.spool <= SPOOL_MAX + (64 << 20), watch.spool
    assert max(watch.rss.get("scribe", 0), watch.rss.get("runner", 0)) <= RSS_MAX_KIB, watch.rss
    berth.cancel(quiet, force=True)
    ticks, lines = berth.wait(quiet), berth.output(quiet)
    assert lines == b"".join(b"tick %d\n" % i for i in range(lines.count(b"\n"))) and ticks["log"]["complete"]
    if view["log"]["sha256"] is not None and name != "short lines":
        byte = b"x" if name == "one line" else b"\n"
        assert view["log"]["sha256"] == hashlib.sha256(byte * size).hexdigest()
