"""Every libc, libpq and engine call of the runner's and scribe's straight lines fails once: all the points of which the
integration tests take a sample in each run."""
import os
import subprocess

import pytest

from engine import Engine
from support import BUILD

AT_ONCE = 4  # the runner's points are cut into as many shares


@pytest.fixture
def engine(long):
    """One of its own that leaves the packet filter alone: thousands of networks are made and removed."""
    if not long:
        pytest.skip("its short form is one of the integration tests")
    made = Engine("--iptables=false")
    yield made
    made.destroy()


@pytest.mark.fault("every call of runner and scribe fails", how="each site once (long only)",
                   holds="no crash, no leak, no lost job")
@pytest.mark.parametrize("program", ["runner", "scribe"])
def test_every_point(engine, program):
    done = subprocess.run([str(BUILD / "tests" / "integration" / f"test_torture_{program}"), "--verbose=0", f"-j{AT_ONCE}"],
                          capture_output=True, text=True, errors="replace", timeout=4 * 3600,
                          env={**os.environ, "DOCKER_HOST": engine.host, "BERTH_TORTURE_POINTS": "all"})
    told = "\n".join(line for line in done.stderr.splitlines() if line.startswith(("torture:", "  ", "[")))
    print(told)
    assert done.returncode == 0, told
