"""What the tests of the engine's faults share: a private engine, a ledger of executions, and jobs whose log is known."""
import os
import pathlib
import shutil
import tempfile

from engine import Engine
from support import TERMINAL, told, wait_until

# Each attempt writes its line before anything else; O_APPEND, so that no two lines mix.
SIGN = "echo $BERTH_JOB_ID.$BERTH_ATTEMPT >>/ledger/lines; "
# What a job waits for, so that it runs as long as a test wants it to.
UNTIL_GO = "until [ -e /ledger/go ]; do sleep 0.1; done; "
# Numbers without end, until it may end; then it writes down how many.
FLOOD = "i=0; until [ -e /ledger/go ]; do seq $i $((i+999)); i=$((i+1000)); usleep 2000; done; echo $i >/ledger/$BERTH_JOB_ID; "


class Ledger:
    """A directory of the host that jobs can write to. What stands in it no process of Berth has touched."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="berth-ledger-", dir="/var/tmp"))
        os.chmod(self.dir, 0o777)
        (self.dir / "lines").touch()
        os.chmod(self.dir / "lines", 0o666)

    @property
    def mounts(self):
        return [{"type": "bind", "source": str(self.dir), "target": "/ledger"}]

    def lines(self):
        return (self.dir / "lines").read_text().split()

    def executions(self, job):
        """Attempts of the job that were executed, as often as they were."""
        return sorted(int(line.rsplit(".", 1)[1]) for line in self.lines() if line.startswith(job))

    def go(self):
        (self.dir / "go").touch()

    def flood_of(self, job):
        count = int((self.dir / job).read_text())
        return b"".join(b"%d\n" % i for i in range(count))

    def destroy(self):
        shutil.rmtree(self.dir, ignore_errors=True)


class World:
    """One Berth on a private engine, and the ledger."""

    def __init__(self, new_berth, engine, **settings):
        self.engine, self.ledger = engine, Ledger()
        self.berth = new_berth(DOCKER_HOST=engine.host, BERTH_BIND_ROOTS=str(self.ledger.dir), BERTH_SLOTS="12", **settings)

    def script(self, text, **spec):
        spec.setdefault("network", "none")
        return self.berth.script(SIGN + text, mounts=self.ledger.mounts, **spec)

    def signed(self, *jobs, attempt=1):
        wait_until(lambda: all(f"{job}.{attempt}" in self.ledger.lines() for job in jobs), f"attempt {attempt} of each is executed")

    def ended(self, job):
        return self.berth.job(job)["status"] in TERMINAL

    def destroy(self):
        self.ledger.destroy()


__all__ = ["Engine", "FLOOD", "Ledger", "SIGN", "UNTIL_GO", "World", "told"]
