"""One thing that happens to one of two orchestrators, at a time: its name, its lease, its absence."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from fleet import SHORT, SHOULD_NOT_HAPPEN_S, Cable, Host, Ledger
from support import BUILD, IMAGE, HttpError, free_port, told, wait_until

LONG_LEASE = {"BERTH_LEASE": "60s", "BERTH_LOST_AFTER": "5m"}


@pytest.fixture
def ledger():
    made = Ledger()
    yield made
    made.destroy()


@pytest.fixture
def hosts(postgres, ledger):
    """hosts(**settings): one more on the same database, which has proved its engine."""
    made = []

    def make(**settings):
        made.append(Host(postgres, share=made[0] if made else None, **{**SHORT, **ledger.settings, **settings}))
        wait_until(made[-1].claims, "it has proved its engine")
        return made[-1]

    yield make
    for host in reversed(made):
        host.destroy()


@pytest.fixture
def only_long(long):
    if not long:
        pytest.skip("only with --long")


def run_beside(host, state):
    """A second berthd with the name of this one, to its end."""
    return subprocess.run([str(BUILD / "orchestrator" / "berthd"), "run"], capture_output=True, text=True, timeout=90,
                          env={**host.environment(), "BERTH_STATE_DIR": str(state), "BERTH_LISTEN": f"127.0.0.1:{free_port()}"})


@pytest.fixture
def elsewhere():
    where = tempfile.mkdtemp(prefix="berth-state-", dir="/var/tmp")
    yield where
    shutil.rmtree(where, ignore_errors=True)


# --- the name ---


def test_a_second_one_of_the_same_name_is_refused_and_a_restart_is_not(hosts, ledger, elsewhere):
    host = hosts(**LONG_LEASE)
    job = host.starts(ledger, "sleep 5; echo end")
    refused = run_beside(host, elsewhere)
    assert refused.returncode == 75 and "belongs to another berthd with a state directory of its own" in refused.stderr, refused
    host.kill()
    refused = run_beside(host, elsewhere)
    assert refused.returncode == 75, "within the lease the name is that of the dead one"
    host.start()  # not held up for the minute of the lease: start() does not wait that long
    view = host.wait(job)
    assert (view["status"], view["attempt"], host.output(job), ledger.attempts(job)) == ("succeeded", 1, b"end\n", [1]), told(view)


@pytest.mark.fault("a copied state directory", how="cp, a second berthd on it",
                   holds="the second one refuses to start")
def test_a_copy_of_the_state_directory_is_noticed(hosts, elsewhere):
    host = hosts()
    shutil.copytree(host.state, f"{elsewhere}/copy", ignore=shutil.ignore_patterns("berthd.log", "sanitizer*"))
    refused = run_beside(host, f"{elsewhere}/copy")
    assert refused.returncode == 75 and "a copy of this state directory" in refused.stderr, refused
    assert host.submit_and_wait("true")["status"] == "succeeded", "the first one is not disturbed"


def test_a_directory_that_was_moved_is_taken_for_itself_when_the_lease_is_over(hosts, elsewhere, only_long):
    host = hosts()
    host.kill()
    moved = f"{elsewhere}/moved"
    shutil.copytree(host.state, moved)
    shutil.rmtree(host.state)
    os.rename(moved, host.state)  # another inode of its lock, as on another host
    host.start()
    assert "waiting for its lease to end" in host.log()
    assert host.submit_and_wait("true")["status"] == "succeeded"


def test_jobs_of_a_lost_state_directory_end_and_are_not_begun_again(hosts, ledger):
    host = hosts(BERTH_REAP_INTERVAL="1s")
    again = host.starts(ledger, "[ $BERTH_ATTEMPT = 2 ] || sleep 600", retry={"max": 1, "delay": "0s", "on": ["infrastructure"]})
    ends = host.starts(ledger, "sleep 600")
    host.kill()
    for child in host.state.iterdir():
        if child.name != "berthd.log":
            shutil.rmtree(child) if child.is_dir() else child.unlink()
    wait_until(lambda: host.sql("select heartbeat_at + lease < now() from berth.orchestrators") == "t", "its lease is over")
    host.start()
    view = host.wait(ends)
    assert (view["status"], view["reason"], view["attempt"]) == ("errored", "orchestrator_lost", 1), told(view)
    view = host.wait(again)
    assert (view["status"], view["attempt"], view["orchestrator"]) == ("succeeded", 2, host.instance), told(view)
    assert sorted(ledger.lines()) == sorted([(ends, "1"), (again, "1"), (again, "2")])
    wait_until(lambda: not host.on_engine(), "the containers of the lost directory are gone")


# --- taken over, or not ---


def service_of(host, job, attempt):
    """The running container of its service, or nothing."""
    return host.docker("ps", "-q", "--filter", f"name=berth-{job}-{attempt}-db")


def say_ready(host, job, attempt):
    container = wait_until(lambda: service_of(host, job, attempt), f"attempt {attempt} has its service")
    host.docker("exec", container, "touch", "/go")


def prepared(host, ledger):
    """A job whose main container waits for a word to its service."""
    job = host.script(ledger.script + "echo done", mounts=ledger.mounts, services=[
        {"name": "db", "image": IMAGE, "command": ["sleep", "600"], "ready": {"command": ["test", "-e", "/go"]}, "deadline": "2m"}])
    wait_until(lambda: service_of(host, job, 1), "its service runs")
    return job


def other_that_takes_over(hosts, first, job):
    second = hosts()
    wait_until(lambda: second.job(job)["attempt"] == 2 and second.job(job)["orchestrator"] == second.instance, "the second one has it")
    return second


def test_what_had_not_begun_is_taken_over_and_not_begun_by_its_first_owner(hosts, ledger):
    """Its parent hangs; its runner does not, and comes to the point where it would begin the command."""
    first = hosts()
    job = prepared(first, ledger)
    os.kill(first.process.pid, signal.SIGSTOP)
    second = other_that_takes_over(hosts, first, job)
    say_ready(first, job, 1)
    wait_until(lambda: "no leave to begin" in first.log(), "the first runner waits")
    say_ready(second, job, 2)
    view = second.wait(job)
    assert (view["status"], view["attempt"]) == ("succeeded", 2), told(view)
    os.kill(first.process.pid, signal.SIGCONT)
    wait_until(lambda: not first.on_engine() and not first.directories(), "the first one clears up")
    assert ledger.attempts(job) == [2]
    assert first.job(job)["status"] == "succeeded"


def test_a_woken_host_does_not_begin_what_was_taken_over(hosts, ledger):
    first = hosts()
    job = prepared(first, ledger)
    first.freeze()
    second = other_that_takes_over(hosts, first, job)
    say_ready(first, job, 1)
    say_ready(second, job, 2)
    assert second.wait(job)["status"] == "succeeded"
    first.thaw()
    wait_until(lambda: not first.on_engine() and not first.directories(), "it clears up")
    assert ledger.attempts(job) == [2]


def test_what_waited_for_leave_to_begin_begins_when_it_comes(hosts, ledger, only_long):
    """Alone, nobody takes the job from it."""
    first = hosts()
    job = prepared(first, ledger)
    os.kill(first.process.pid, signal.SIGSTOP)
    wait_until(lambda: first.sql("select now() - heartbeat_at > lease from berth.orchestrators") == "t", "the lease is over")
    say_ready(first, job, 1)
    wait_until(lambda: "no leave to begin" in first.log(), "its runner waits")
    assert ledger.attempts(job) == []
    os.kill(first.process.pid, signal.SIGCONT)
    view = first.wait(job)
    assert (view["status"], view["attempt"], ledger.attempts(job)) == ("succeeded", 1, [1]), told(view)


@pytest.mark.parametrize("how", ["frozen", "cut off"])
def test_a_host_that_is_away_for_less_than_lost_after_goes_on(postgres, hosts, ledger, how, long):
    if how == "frozen" and not long:
        pytest.skip("only with --long: tests/e2e/test_lost.py freezes, too")
    second = hosts()
    second.request("POST", f"/v1/orchestrators/{second.instance}/drain")
    cable = Cable(postgres)
    first = hosts(BERTH_DATABASE_URL=cable.url(second.database), BERTH_LOST_AFTER="10m")
    second.settings["BERTH_LOST_AFTER"] = "10m"
    second.stop(signal.SIGTERM)
    second.start()
    try:
        job = first.starts(ledger, "i=0; while [ $i -lt 120 ]; do echo line $i; i=$((i+1)); sleep 0.1; done; exit 7")
        (first.freeze if how == "frozen" else cable.cut)()
        wait_until(lambda: second.job(job)["status"] == "lost", "it is lost")
        (first.thaw if how == "frozen" else cable.mend)()
        wait_until(lambda: second.job(job)["status"] != "lost", "its host has it again")
        view = second.wait(job)
        assert (view["status"], view["exit_code"], view["attempt"], view["log"]["complete"]) == ("failed", 7, 1, True), told(view)
        assert second.output(job) == b"".join(b"line %d\n" % i for i in range(120))
        assert ledger.attempts(job) == [1]
    finally:
        first.thaw()
        cable.mend()
        first.stop(signal.SIGQUIT)
        first.settings.pop("BERTH_DATABASE_URL")
        cable.destroy()


@pytest.mark.fault("a host that wakes up too late", how="SIGSTOP for longer than lease and BERTH_LOST_AFTER",
                   holds="its containers and directories go, its reports are refused")
def test_a_woken_zombie_stops_its_containers_and_says_nothing(hosts, ledger):
    first = hosts()
    job = first.starts(ledger, "i=0; while [ $i -lt 6000 ]; do echo $BERTH_ATTEMPT; i=$((i+1)); sleep 0.1; done",
                       retry={"max": 1, "delay": "0s", "on": ["infrastructure"]})
    second = hosts()
    first.freeze()
    wait_until(lambda: second.job(job)["status"] == "running" and second.job(job)["attempt"] == 2, "the second attempt runs")
    stored = second.sql(f"select log_bytes, status, reason from berth.attempts where job_id = '{job}' and number = 1")
    first.thaw()
    wait_until(lambda: not first.on_engine() and not first.directories(), "the zombie clears up")
    assert second.sql(f"select log_bytes, status, reason from berth.attempts where job_id = '{job}' and number = 1") == stored
    assert second.job(job)["status"] == "running"
    second.cancel(job, force=True)
    assert second.wait(job)["status"] == "canceled"
    assert ledger.attempts(job) == [1, 2]
    assert set(second.output(job).split()) == {b"2"}


# --- absence ---


def test_a_clean_exit_is_no_death_within_its_time_and_is_one_behind_it(hosts, ledger):
    first = hosts(BERTH_DRAIN_TIMEOUT="0s", BERTH_DETACH_TIMEOUT="15s", BERTH_LOST_AFTER="10m")
    second = hosts(BERTH_LOST_AFTER="10m")
    second.request("POST", f"/v1/orchestrators/{second.instance}/drain")
    job = first.starts(ledger, "while [ ! -e /ledger/go ]; do sleep 0.1; done; echo end")
    assert first.stop(signal.SIGTERM) == 0

    def shown():
        return next(o for o in second.get("/v1/orchestrators")["items"] if o["name"] == first.instance)

    assert shown()["state"] == "detached" and shown()["running"] == 1
    wait_until(lambda: second.sql("select now() - heartbeat_at > 2 * lease from berth.orchestrators"
                                  f" where name = '{first.instance}'") == "t", "its lease is over twice")
    assert second.job(job)["status"] == "running", "nobody has taken it for dead"
    wait_until(lambda: second.job(job)["status"] == "lost", "it did not come back in time")
    assert shown()["state"] == "lost"
    first.start()
    wait_until(lambda: second.job(job)["status"] == "running", "late, but not too late")
    (ledger.dir / "go").touch()
    view = second.wait(job)
    assert (view["status"], view["attempt"], second.output(job), ledger.attempts(job)) == ("succeeded", 1, b"end\n", [1])
    wait_until(lambda: not first.directories() and not first.children().get("runner"), "nothing is left to do")
    assert first.stop(signal.SIGTERM) == 0
    assert shown()["state"] == "left"


def test_nobody_is_judged_by_one_that_was_away_itself(hosts, ledger, only_long):
    """Both are frozen; the one that wakes first does not take the other for dead at once."""
    first = hosts(BERTH_LEASE="8s")
    second = hosts(BERTH_LEASE="8s")
    job = first.starts(ledger, "sleep 600")
    second_or_first = [h for h in (first, second) if h.instance == first.job(job)["orchestrator"]][0]
    other = second if second_or_first is first else first
    second_or_first.freeze()
    other.freeze()
    wait_until(lambda: other.sql("select bool_and(now() - heartbeat_at > lease) from berth.orchestrators") == "t", "both leases are over")
    other.thaw()
    wait_until(lambda: other.sql(f"select now() - heartbeat_at < interval '2 s' from berth.orchestrators where name = '{other.instance}'")
               == "t", "it is heard of again")
    end = time.monotonic() + SHOULD_NOT_HAPPEN_S
    while time.monotonic() < end:
        assert other.job(job)["status"] == "running"
    second_or_first.thaw()
    other.cancel(job, force=True)
    assert other.wait(job)["status"] == "canceled"


# --- drain ---


def test_drain_and_undrain(hosts):
    host = hosts(**LONG_LEASE)
    runs = host.script("while [ ! -e /tmp/go ]; do sleep 0.1; done", limits={"tmpfs": {"/tmp": "1m"}})
    wait_until(lambda: host.job(runs)["status"] == "running", "it runs")
    told = host.client("drain", host.instance)
    assert told.returncode == 0 and b"draining" in told.stdout, told
    waits = host.submit("true")
    wait_until(lambda: "draining, no more claims" in host.log(), "it is told at once, not with a heartbeat of 20 s", seconds=10)
    assert host.row()["state"] == "draining" and host.row()["running"] == 1
    explained = host.get(f"/v1/jobs/{waits}/explain")
    assert [w["limit"] for w in explained["waiting_for"]] == ["draining"] and "undrain" in explained["next"], explained
    assert host.job(waits)["status"] == "queued" and host.job(runs)["status"] == "running"
    host.docker("exec", f"berth-{runs}-1-main", "touch", "/tmp/go")
    assert host.wait(runs)["status"] == "succeeded", "what runs goes on"
    assert host.client("drain", host.instance).returncode == 0, "twice is once"
    assert json.loads(host.client("undrain", "-o", "json", host.instance).stdout)["state"] == "live"
    assert host.wait(waits)["status"] == "succeeded"
    unknown = host.client("drain", "nobody")
    assert unknown.returncode == 125 and b"no orchestrator nobody" in unknown.stderr, unknown
    with pytest.raises(HttpError) as e:
        host.request("POST", "/v1/orchestrators/nobody/undrain")
    assert e.value.status == 404
