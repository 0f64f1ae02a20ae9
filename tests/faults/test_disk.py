"""No room under the state directory, or no right to write there: nothing new is begun, what runs runs on, what could not be written
is told as a gap, and all goes on by itself when there is room."""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import pytest

from outage import readiness
from support import Berth, message_bytes, wait_until

DISK_MIB = 48
BLOCK_BYTES = 1024  # the smallest, so that little files need another one soon
INODES = 2000
LINE = "0123456789" * 400  # more than the room that init keeps for a job's end


class OnSmallDisk(Berth):
    """Its state directory is a file system of its own; what tests and sanitizers write lies elsewhere."""

    def __init__(self, postgres, inodes=INODES, **settings):
        self.inodes, self.other = inodes, None
        super().__init__(postgres, **settings)

    def start(self, wait=True):
        if not self.other:
            self.other = pathlib.Path(tempfile.mkdtemp(prefix="berth-log-", dir="/var/tmp"))
            self.log_path = self.other / "berthd.log"
            self.image = self.other / "disk"
            with open(self.image, "wb") as disk:
                disk.truncate(DISK_MIB << 20)
            subprocess.run(["mkfs.ext4", "-q", "-b", str(BLOCK_BYTES), "-m", "0", "-N", str(self.inodes), self.image], check=True)
            subprocess.run(["mount", "-o", "loop", self.image, self.state], check=True)
        super().start(wait)

    def environment(self):
        return {k: v.replace(f"{self.state}/sanitizer", f"{self.other}/sanitizer") for k, v in super().environment().items()}

    def fill(self):
        with open(self.state / "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(bytes(BLOCK_BYTES))

    def give_room(self):
        (self.state / "filler").unlink()

    def abort(self):
        """What ext4 does when its disk makes errors: from here on it can only be read from."""
        subprocess.run(["mount", "-o", "remount,abort", self.state], capture_output=True)

    def destroy(self):
        with contextlib.suppress(FileNotFoundError):
            self.give_room()
        super().destroy()
        subprocess.run(["umount", self.state], check=True)
        os.rmdir(self.state)
        reports = [p.read_text(errors="replace")[:6000] for p in self.other.glob("sanitizer*")]
        shutil.rmtree(self.other)
        assert not reports, reports


@pytest.fixture
def small(postgres):
    made = []

    def make(**settings):
        made.append(OnSmallDisk(postgres, BERTH_SLOTS="10", **settings))
        return made[-1]
    yield make
    for berth in made:
        berth.destroy()


def lines(berth, number, count):
    return berth.script(f"i=0; while [ $i -lt {count} ]; do echo {number} $i {LINE}; i=$((i+1)); sleep 0.05; done; exit {number}")


def check_with_gaps(berth, job, number, count):
    """The true end, and every byte that is told is the right one at its place. Returns how many are missing."""
    view = berth.wait(job)
    assert (view["exit_code"], view["attempt"]) == (number, 1), str(view)
    whole = b"".join(b"%d %d %s\n" % (number, i, LINE.encode()) for i in range(count))
    at = missing = 0
    for message in berth.messages(job):
        if message["type"] == "log":
            data = message_bytes(message)
            assert message["offset"] == at and data == whole[at:at + len(data)], (at, data[:80], whole[at:at + 80])
            at += len(data)
        elif message["type"] == "gap":
            assert (message["offset"], message["cause"]) == (at, "lost"), message
            at, missing = at + message["bytes"], missing + message["bytes"]
    assert at == len(whole) == view["log"]["bytes"], (at, view)
    return missing


def away(berth):
    """Why the state directory is not what jobs need; None: it is."""
    ready, checks = readiness(berth)
    return None if ready or checks["state_dir"]["state"] != "away" else checks["state_dir"]["detail"]


def told(berth):
    return len([line for line in berth.log_lines() if line["msg"].startswith("a dependency of jobs is away")])


@pytest.mark.fault("the state directory's disk is full", how="a small file system",
                   holds="claims pause; running jobs end with their true code; a gap says what is missing")
def test_full(small):
    berth = small()
    short, long_one = lines(berth, 3, 100), lines(berth, 4, 400)
    wait_until(lambda: berth.output(short) and berth.output(long_one), "both write")
    berth.fill()
    assert "full" in wait_until(lambda: away(berth), "it is told")
    waits = berth.script("echo later")
    wait_until(lambda: "No space left on device" in berth.log(), "the short one's end cannot be noted down")
    assert berth.job(waits)["status"] == "queued" and berth.job(long_one)["status"] == "running"
    berth.process.send_signal(signal.SIGKILL)
    berth.process.wait()
    berth.start(wait=False)
    wait_until(lambda: "attempt taken up again" in berth.log(), "a berthd that starts now takes up what runs")
    berth.give_room()
    wait_until(berth.ready, "Berth is ready again")
    missing = [check_with_gaps(berth, short, 3, 100), check_with_gaps(berth, long_one, 4, 400)]
    print("bytes told as missing:", missing)
    assert sum(missing) > 0, "the disk was not full for long enough to say anything"
    assert berth.output(waits) == b"later\n" if berth.wait(waits) else None
    wait_until(lambda: readiness(berth)[0], "all is well again")


@pytest.mark.fault("no inodes under the state directory", how="a small file system",
                   holds="claims pause and go on by themselves")
def test_no_inodes(small, postgres):
    berth = OnSmallDisk(postgres, inodes=400, BERTH_SLOTS="4")
    try:
        with contextlib.suppress(OSError):
            for n in range(INODES):
                (berth.state / f"file{n}").touch()
        assert "inodes" in wait_until(lambda: away(berth), "it is told")
        waits = berth.script("echo later")
        for file in berth.state.glob("file*"):
            file.unlink()
        assert berth.wait(waits)["status"] == "succeeded"
    finally:
        berth.destroy()


def test_no_right_to_write(small):
    """One can only see it by trying, which is done again until it works."""
    berth = small()
    subprocess.run(["chattr", "+i", berth.state / "attempts"], check=True)
    waits = berth.script("echo later")
    assert "not permitted" in wait_until(lambda: away(berth), "it is told")
    wait_until(lambda: berth.job(waits)["status"] == "queued", "the job goes back")
    subprocess.run(["chattr", "-i", berth.state / "attempts"], check=True)
    assert berth.wait(waits)["status"] == "succeeded" and berth.output(waits) == b"later\n"
    wait_until(lambda: readiness(berth)[0], "all is well again")
    assert told(berth) == 1 and berth.job(waits)["attempt"] == 1


@pytest.mark.fault("the state directory is read-only", how="mount -o remount,ro",
                   holds="nothing is claimed; goes on when it can be written")
def test_read_only(small):
    """For good, until somebody mounts it anew: nothing is begun, and the API answers."""
    berth = small()
    assert berth.run("echo before")["status"] == "succeeded"
    berth.abort()
    waits = berth.script("echo later")
    assert "read-only" in wait_until(lambda: away(berth), "it is told").lower()
    wait_until(lambda: berth.job(waits)["status"] == "queued", "the job goes back")
    assert told(berth) == 1 and berth.cancel(waits) == 202
    assert berth.wait(waits)["status"] == "canceled"
    assert berth.stop() == 0
