"""Every libc, libpq and engine call of the runner's and scribe's straight lines fails once: all the points of which the
integration tests take a sample in each run."""
import os
import subprocess

import pytest

from support import BUILD


@pytest.mark.fault("every call of runner and scribe fails", how="each site once (long only)",
                   holds="no crash, no leak, no lost job")
@pytest.mark.parametrize("program", ["runner", "scribe"])
def test_every_point(program, long):
    if not long:
        pytest.skip("its short form is one of the integration tests")
    done = subprocess.run([str(BUILD / "tests" / "integration" / f"test_torture_{program}"), "--verbose=0", "-j4"],
                          capture_output=True, text=True, errors="replace", timeout=4 * 3600,
                          env={**os.environ, "BERTH_TORTURE_POINTS": "all"})
    told = "\n".join(line for line in done.stderr.splitlines() if line.startswith(("torture:", "  ", "[")))
    print(told)
    assert done.returncode == 0, told
