"""PostgreSQL goes away and comes back: jobs go on, the API says so, and afterwards nothing is missing and nothing there twice."""
import os
import signal
import time

import pytest

from outage import BACK_WITHIN_S, Chatter, berth, chatters, cluster  # noqa: F401
from support import wait_until


def restart(cluster, mode):
    cluster.stop(mode)
    cluster.start()


def kill(cluster):
    os.kill(cluster.postmaster(), signal.SIGKILL)
    wait_until(lambda: not cluster.is_up(), "it is dead")

    def started():
        try:
            cluster.start()
        except AssertionError:  # backends of the dead one still hold the shared memory
            return False
        return True
    wait_until(started, "PostgreSQL starts again", every=0.2)


OUTAGES = {
    "fast restart": lambda cluster: restart(cluster, "fast"),
    "immediate restart": lambda cluster: restart(cluster, "immediate"),
    "kill -9": kill,
    "backends terminated": lambda cluster: cluster.sql("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
                                                       " and backend_type = 'client backend'"),
}


@pytest.mark.fault("PostgreSQL restarted, killed, all sessions ended", how="pg_ctl restart -m fast and immediate, kill -9, pg_terminate_backend, under jobs that log",
                   holds="back by itself; logs whole and exact")
@pytest.mark.parametrize("name", OUTAGES)
def test_back_after(berth, cluster, name):
    jobs = chatters(berth, 10, 80, 0.1)
    OUTAGES[name](cluster)
    begin = time.monotonic()
    wait_until(berth.ready, "Berth is ready again", seconds=BACK_WITHIN_S)
    ready_s = time.monotonic() - begin
    lengths = [len(berth.output(job.id)) for job in jobs]
    wait_until(lambda: all(len(berth.output(job.id)) > was or berth.job(job.id)["finished_at"] for job, was in zip(jobs, lengths)),
               "logs go on", seconds=BACK_WITHIN_S)
    print(f"{name}: ready after {ready_s:.1f} s, all logs go on after {time.monotonic() - begin:.1f} s")
    late = Chatter(berth, 99, 1, 0)
    for job in [*jobs, late]:
        job.check()
