"""Another berthd, in place of one that was told to go, while jobs run and are watched."""
import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading

import pytest
import websockets
import websockets.exceptions

from fleet import Host, Ledger
from support import BUILD, message_bytes, told, wait_until

LINES = 100
NEXT_VERSION = b"9.9.9"


class Viewer(threading.Thread):
    """Reads a job's live log; when the connection ends it comes back with the offset that it has reached."""

    def __init__(self, berth, job):
        super().__init__(daemon=True)
        self.berth, self.job, self.bytes, self.offset, self.connections, self.code = berth, job, b"", 0, 0, None
        self.start()

    def run(self):
        asyncio.run(self.read())

    async def read(self):
        while self.code != 1000:
            with contextlib.suppress(OSError, websockets.exceptions.InvalidHandshake, asyncio.TimeoutError):
                await self.read_one()
            await asyncio.sleep(0.05)

    async def read_one(self):
        url = f"{self.berth.url.replace('http', 'ws')}/v1/jobs/{self.job}/stream?offset={self.offset}"
        async with websockets.connect(url, subprotocols=["berth.v1"], extra_headers={"Authorization": f"Bearer {self.berth.token}"}) as ws:
            self.connections += 1
            try:
                while True:
                    message = json.loads(await ws.recv())
                    if message["type"] == "log":
                        assert message["offset"] == self.offset, (message, self.offset)
                        self.bytes += message_bytes(message)
                        self.offset += len(message_bytes(message))
            except websockets.ConnectionClosed:
                self.code = ws.close_code


class Upgradable(Host):
    programs = None

    def start(self, wait=True):
        if not self.programs:
            super().start(wait)
            return
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([str(self.programs / "berthd"), "run"], env=self.environment(), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True)
        wait_until(self.ready, lambda: f"the new one is ready:\n{self.log()[-3000:]}")


@pytest.fixture
def next_programs(tmp_path):
    """The same programs under another path, with another version, and another berth-init."""
    for program in ("orchestrator/berthd", "runner/berth-runner", "runner/init/berth-init"):
        shutil.copy(BUILD / program, tmp_path)
    version = subprocess.run([BUILD / "orchestrator" / "berthd", "version"], capture_output=True, check=True).stdout.split()[-1]
    assert len(version) == len(NEXT_VERSION)
    for program in ("berthd", "berth-runner"):
        text = (tmp_path / program).read_bytes()
        assert version + b"\0" in text
        (tmp_path / program).write_bytes(text.replace(version + b"\0", NEXT_VERSION + b"\0"))
    with open(tmp_path / "berth-init", "ab") as init:
        init.write(b"another")
    return tmp_path


@pytest.fixture
def host(postgres):
    ledger = Ledger()
    made = Upgradable(postgres, BERTH_DRAIN_TIMEOUT="1s", **ledger.settings)
    made.ledger = ledger
    yield made
    made.destroy()
    ledger.destroy()


@pytest.mark.fault("upgrade in place under a running job", how="TERM, another version with another berth-init",
                   holds="the job and both viewers lose nothing and see nothing twice")
def test_an_upgrade_costs_jobs_and_viewers_nothing(host, next_programs):
    wait_until(host.claims, "it claims")
    text = f"i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); sleep 0.1; done; while [ ! -e /ledger/go ]; do sleep 0.1; done; exit 3"
    job = host.starts(host.ledger, text)
    viewer = Viewer(host, job)
    follower = host.client_process("logs", "-f", job)
    wait_until(lambda: viewer.bytes, "the viewer sees it")
    old = host.row()
    before = set(os.listdir(host.state / "bin"))

    assert host.stop(signal.SIGTERM) == 0
    assert f"berth-{job}-1-main" in host.on_engine(), "the container goes on"
    assert host.sql("select detached_until > now() from berth.orchestrators") == "t"
    host.programs = next_programs
    host.start()
    new = host.row()
    assert (new["version"], new["state"], new["running"]) == (NEXT_VERSION.decode(), "live", 1) and old["version"] != new["version"]
    assert len(set(os.listdir(host.state / "bin")) - before) == 1, "another berth-init beside the one that is in use"
    after = host.script(host.ledger.script + "echo new", mounts=host.ledger.mounts)
    assert host.wait(after)["status"] == "succeeded"
    (host.ledger.dir / "go").touch()

    view = host.wait(job)
    assert (view["status"], view["exit_code"], view["attempt"], view["log"]["complete"]) == ("failed", 3, 1, True), told(view)
    expected = b"".join(b"line %d\n" % i for i in range(LINES))
    assert host.output(job) == expected
    viewer.join(60)
    assert (viewer.code, viewer.bytes) == (1000, expected) and viewer.connections >= 2
    out, err = follower.communicate(timeout=60)
    assert out == expected, (len(out), err)
    assert host.ledger.attempts(job) == [1] and host.ledger.attempts(after) == [1]


def test_several_upgrades_in_a_row(host, next_programs):
    """To and fro, each while the one before has hardly begun; TERM twice leaves at once."""
    wait_until(host.claims, "it claims")
    job = host.starts(host.ledger, "i=0; while [ ! -e /ledger/go ]; do echo $i; i=$((i+1)); sleep 0.05; done; exit 3")
    viewer = Viewer(host, job)
    for turn in range(4):
        host.process.send_signal(signal.SIGTERM)
        assert host.stop(signal.SIGTERM) == 0
        host.programs = None if turn % 2 else next_programs
        host.start()
    (host.ledger.dir / "go").touch()
    view = host.wait(job)
    assert (view["status"], view["exit_code"], view["attempt"], view["log"]["complete"]) == ("failed", 3, 1, True), told(view)
    viewer.join(60)
    numbers = viewer.bytes.split()
    assert numbers == [b"%d" % i for i in range(len(numbers))] and viewer.bytes == host.output(job)
    assert host.ledger.attempts(job) == [1]


@pytest.mark.fault("berth-runner is replaced under a running berthd", how="another program in its place",
                   holds="jobs go on as ever: berthd starts the one that was there at its start")
def test_a_program_that_is_replaced_first_costs_no_job(host, next_programs):
    host.programs = next_programs
    assert host.stop(signal.SIGTERM) == 0
    host.start()
    wait_until(host.claims, "it claims")
    new = next_programs / "new"
    new.write_text("#!/bin/sh\necho a runner of another version >&2\nexit 1\n")
    new.chmod(0o755)
    new.rename(next_programs / "berth-runner")
    view = host.run("echo as ever")
    assert (view["status"], view["attempt"]) == ("succeeded", 1), told(view)
