"""PostgreSQL cannot be reached for long: jobs run on and end, clients hear 503, and nobody wears himself out with asking."""
import time

import pytest

from outage import (BACK_WITHIN_S, answer_of, behind, chatters, cluster, complaints, cpu_seconds, cpu_since, ends_in_spool,  # noqa: F401
                    readiness, spools)
from support import wait_until

HOLE_S, LONG_HOLE_S = 80, 300  # longer than a statement may take before its connection is given up, 40 s, and than a helper may hang
CPU_PER_S = 0.25  # of all processes of berthd together, with sanitizers, while the database is away


@pytest.mark.fault("PostgreSQL swallows or holds all", how="a proxy, 80 s (long: 5 min), ten jobs that log",
                   holds="503, jobs run on and end; all logs complete afterwards; no busy loop")
@pytest.mark.parametrize("kind", ["hold", "swallow"])
def test_black_hole(behind, kind, long):
    """What is sent is never answered; and new connections are taken and not answered."""
    jobs = chatters(behind, 10, 200, 0.1)
    since, cpu, begin = len(behind.log_lines()), cpu_seconds(behind), time.monotonic()
    getattr(behind.proxy, kind)()
    ready, checks = readiness(behind)
    assert not ready and checks["database"]["state"] == "away", checks
    assert time.monotonic() - begin < 15, "who asks for health does not wait for the database"
    status, headers, took_s = answer_of(behind, "POST", "/v1/jobs", {"image": "x"})
    assert (status, bool(headers["Retry-After"])) == (503, True), (status, took_s)
    print(f"{kind}: 503 after {took_s:.1f} s")
    wait_until(lambda: ends_in_spool(behind) == 10, "all jobs end in the dark")
    end = begin + (LONG_HOLE_S if long else HOLE_S)
    wait_until(lambda: time.monotonic() > end, "the hole was there for long enough", seconds=LONG_HOLE_S, every=1)
    assert behind.request("GET", "/healthz")[0] == 200 and len(spools(behind)) == 10
    used, lines = cpu_since(behind, cpu), complaints(behind, since)
    print(f"{kind}: {used:.1f} s of CPU in {time.monotonic() - begin:.0f} s, {len(lines)} complaints")
    behind.proxy.heal()
    healed = time.monotonic()
    wait_until(behind.ready, "Berth is ready again", seconds=BACK_WITHIN_S)
    print(f"{kind}: ready {time.monotonic() - healed:.1f} s after the hole")
    for job in jobs:
        job.check()
    assert "has hung" not in behind.log(), "whoever waits for the database does not hang"
    assert used < CPU_PER_S * (time.monotonic() - begin), used
    assert lines and len(lines) < 20, lines


def test_refused_connections_cost_little(behind):
    """The proxy's socket is gone, as when PostgreSQL is stopped: back-off, and one line of each process."""
    jobs = chatters(behind, 2, 150, 0.1)
    since, cpu, begin = len(behind.log_lines()), cpu_seconds(behind), time.monotonic()
    behind.proxy.refuse()
    wait_until(lambda: readiness(behind)[1]["database"]["state"] == "away", "it is noticed")
    wait_until(lambda: ends_in_spool(behind) == 2, "both end in the dark")
    before = behind.proxy.accepted
    used, seconds, lines = cpu_since(behind, cpu), time.monotonic() - begin, complaints(behind, since)
    assert used < CPU_PER_S * seconds, (used, seconds)
    for role in ("parent", "gateway", "scribe"):
        away = [line for line in lines if line["role"] == role and ("away" in line["msg"] or "cannot be written" in line["msg"])]
        assert len(away) == 1, (role, lines)
    assert len(lines) < 12, lines
    behind.proxy.heal()
    wait_until(behind.ready, "Berth is ready again", seconds=BACK_WITHIN_S)
    assert behind.proxy.accepted > before
    for job in jobs:
        job.check()
