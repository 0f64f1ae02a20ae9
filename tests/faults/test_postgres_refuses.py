"""PostgreSQL is there and does not do what it is asked: no room, read only, no connections, locks, another schema. Clients hear 503
and when to come back; what runs goes on; and when the cause is gone all goes on by itself."""
import contextlib
import socket
import struct
import threading

import pytest

from outage import Chatter, OwnPostgres, SmallPostgres, answer_of, berth, chatters, cluster, complaints, ends_in_spool, readiness  # noqa: F401
from support import IMAGE, Berth, HttpError, wait_until

COMPLAINTS_MAX = 12  # of all processes together, however often something fails
SMALL_MIB = 128


LARGE = {"image": IMAGE, "command": ["true"], "input": "x" * 500_000}


def submitting(berth, status, spec=None):
    """Whether a submission is answered with this status now."""
    spec = spec or {"image": IMAGE, "command": ["true"]}
    answer, headers, _ = answer_of(berth, "POST", "/v1/jobs", spec)
    assert answer in (201, 503), answer
    assert answer == 201 or int(headers["Retry-After"]) > 0
    return answer == status


def problem_of(berth, method="POST", path="/v1/jobs", body=None):
    with pytest.raises(HttpError) as refused:
        berth.request(method, path, body or {"image": IMAGE, "command": ["true"]})
    assert refused.value.status == 503, refused.value
    return refused.value.problem["detail"]


@contextlib.contextmanager
def locked(cluster, database, tables):
    with cluster.session() as session:
        session.stdin.write(f"\\c {database}\nbegin; lock table {tables} in access exclusive mode; select 'locked';\n")
        assert session.stdout.readline() == "locked\n"
        yield
        session.stdin.write("rollback;\n")
        session.stdin.close()


@pytest.mark.fault("PostgreSQL's disk is full", how="a small file system as its data",
                   holds="503; running jobs unharmed; goes on when there is room")
def test_no_room():
    postgres = SmallPostgres(SMALL_MIB)
    berth = Berth(postgres, BERTH_SLOTS="10")
    try:
        jobs = chatters(berth, 3, 100, 0.1)
        since = len(berth.log_lines())
        postgres.fill()
        long_one = berth.script("seq 1 400000")
        wait_until(lambda: submitting(berth, 503, LARGE), "there is no room for another job")
        assert "no room" in problem_of(berth, body=LARGE)
        ready, checks = readiness(berth)
        assert not ready and checks["database"]["state"] == "full", checks
        wait_until(lambda: "could not extend file" in berth.log(), "it is in the log")
        wait_until(lambda: all(berth.job(job.id)["status"] in ("running", "succeeded", "failed") for job in jobs), "what runs runs on")
        lines = complaints(berth, since)
        assert len(lines) < COMPLAINTS_MAX, lines
        postgres.give_room()
        wait_until(lambda: submitting(berth, 201), "there is room for another job")
        for job in jobs:
            job.check()
        assert berth.wait(long_one)["log"]["complete"]
        assert berth.output(long_one) == b"".join(b"%d\n" % n for n in range(1, 400001))
        wait_until(lambda: readiness(berth)[0], "all is well again")
    finally:
        postgres.give_room()
        berth.destroy()
        postgres.destroy()


@pytest.mark.fault("PostgreSQL is read-only", how="default_transaction_read_only",
                   holds="503; comes back by itself")
def test_read_only(berth, cluster):
    jobs = chatters(berth, 3, 60, 0.1)
    since = len(berth.log_lines())
    cluster.set(default_transaction_read_only="on")
    try:
        wait_until(lambda: submitting(berth, 503), "nothing is taken")
        ready, checks = wait_until(lambda: (lambda r: r if r[1]["database"]["state"] == "away" else None)(readiness(berth)), "it is told")
        assert not ready and "read-only" in checks["database"]["detail"], checks
        wait_until(lambda: ends_in_spool(berth) == 3, "all jobs end in the dark")
        lines = complaints(berth, since)
        assert len(lines) < COMPLAINTS_MAX, lines
    finally:
        cluster.set(default_transaction_read_only=None)
    wait_until(berth.ready, "Berth is ready again", seconds=30)
    for job in jobs:
        job.check()


class Crowd:
    """Takes every connection that it can get, until it is told to leave."""

    def __init__(self, cluster):
        self.path, self.sockets = str(cluster.socket / ".s.PGSQL.5432"), []
        self.over, self.full = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.come, daemon=True)
        self.thread.start()
        assert self.full.wait(30)

    def come(self):
        words = b"user\0berth\0database\0postgres\0\0"
        while not self.over.wait(0.005):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(10)
            s.connect(self.path)
            s.sendall(struct.pack("!ii", 8 + len(words), 3 << 16) + words)
            if s.recv(1) == b"E":
                self.full.set()
                s.close()
            else:
                self.sockets.append(s)

    def leave(self):
        self.over.set()
        self.thread.join()
        for s in self.sockets:
            s.close()


def thrown_out(session):
    """How many of Berth's connections there were, which are ended."""
    session.stdin.write("select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name like 'berth:%';\n")
    return int(session.stdout.readline())


@pytest.mark.fault("PostgreSQL has no connection left", how="max_connections reached",
                   holds="waits and comes back")
def test_no_connections():
    postgres = OwnPostgres()
    postgres.set(max_connections="40")
    postgres.stop()
    postgres.start()
    berth = Berth(postgres, BERTH_SLOTS="10")
    try:
        jobs = chatters(berth, 3, 150, 0.1)
        with postgres.session() as session:
            session.stdin.write("select 'here';\n")
            assert session.stdout.readline() == "here\n"
            crowd = Crowd(postgres)
            try:
                assert submitting(berth, 201), "connections that are there are kept"
                wait_until(lambda: thrown_out(session) == 0, "none of Berth's gets in any more", every=0.3)
                assert submitting(berth, 503)
                ready, checks = readiness(berth)
                assert not ready and "too many clients" in checks["database"]["detail"], checks
                wait_until(lambda: ends_in_spool(berth) >= 3, "all jobs end in the dark")
            finally:
                crowd.leave()
            session.stdin.close()
        wait_until(berth.ready, "Berth is ready again", seconds=30)
        for job in jobs:
            job.check()
    finally:
        berth.destroy()
        postgres.destroy()


@pytest.mark.fault("tables are locked", how="LOCK TABLE in another session",
                   holds="waits and comes back")
@pytest.mark.parametrize("tables", ["berth.jobs", "berth.attempts", "berth.log_chunks", "berth.orchestrators"])
def test_locked(berth, cluster, tables):
    jobs = chatters(berth, 2, 60, 0.1)
    with locked(cluster, berth.database, tables):
        if tables == "berth.orchestrators":  # nothing of a job is in there
            for job in jobs:
                job.check()
        else:
            wait_until(lambda: ends_in_spool(berth) == 2, "both end behind the lock")
        if tables == "berth.jobs":
            assert "lock" in problem_of(berth)
    for job in jobs:
        job.check()
    Chatter(berth, 7, 1, 0).check()


def test_serializable_by_default(cluster):
    """Whoever runs his cluster so gets neither errors nor two of what may be there once."""
    cluster.set(default_transaction_isolation="'serializable'")
    try:
        berth = Berth(cluster, BERTH_SLOTS="6")
        try:
            since = len(berth.log_lines())
            jobs = [berth.script("echo once", concurrency={"key": f"k{n % 3}", "max": 1}) for n in range(12)]
            for job in jobs:
                assert (berth.wait(job)["status"], berth.output(job)) == ("succeeded", b"once\n")
            assert not [line for line in complaints(berth, since) if "40001" in line.get("error", "")]
        finally:
            berth.destroy()
    finally:
        cluster.set(default_transaction_isolation=None)


def test_another_schema(berth):
    """Somebody has renamed columns under a running berthd."""
    jobs = chatters(berth, 2, 40, 0.1)
    since = len(berth.log_lines())
    berth.sql("alter table berth.jobs rename column spec to elsewhere")
    assert "schema" in problem_of(berth)
    berth.sql("alter table berth.attempts rename column log_bytes to elsewhere")
    wait_until(lambda: ends_in_spool(berth) == 2, "both end")
    wait_until(lambda: [line for line in complaints(berth, since) if "log_bytes" in line.get("error", "")], "the log names the column")
    lines = complaints(berth, since)
    assert len(lines) < COMPLAINTS_MAX, lines
    berth.sql("alter table berth.jobs rename column elsewhere to spec")
    berth.sql("alter table berth.attempts rename column elsewhere to log_bytes")
    for job in jobs:
        job.check()
    Chatter(berth, 7, 1, 0).check()
