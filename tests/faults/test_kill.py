"""kill -9 of the helpers under running jobs costs nothing."""
import datetime
import os
import pathlib
import signal
import time

import pytest

from engine import Engine
from support import docker, told, wait_until

LINES = 60
HUNG_S = 150  # the watchdog waits for a minute; the machine may be slow


@pytest.mark.fault("kill -9 of gateway, scribe or reaper, three times each", how="kill(2) under ten jobs that write",
                   holds="no job notices; ends and logs true; an obituary for each death; another one is started")
@pytest.mark.parametrize("role", ["gateway", "scribe", "reaper"])
def test_ten_jobs_survive_the_death_of(new_berth, recovery, role):
    berth = new_berth(BERTH_SLOTS="10")
    jobs = [berth.script(f"i=0; while [ $i -lt {LINES} ]; do echo job {n} line $i; i=$((i+1)); sleep 0.1; done; exit {n}")
            for n in range(10)]
    wait_until(lambda: all(berth.output(job) for job in jobs), "all ten write")
    for _ in range(3):
        [victim] = wait_until(lambda: berth.children().get(role), f"there is a {role}")
        comm = pathlib.Path(f"/proc/{victim}/comm")
        wait_until(lambda: comm.read_text() == f"berthd:{role}\n", "it bears its name, as top and pgrep show it")
        os.kill(victim, signal.SIGKILL)
        with recovery():
            wait_until(lambda: berth.children().get(role, [victim]) not in ([victim], []), f"another {role} is started")
            wait_until(berth.ready, "Berth answers again")
    for n, job in enumerate(jobs):
        view = berth.wait(job)
        assert (view["status"], view["exit_code"], view["attempt"]) == ("succeeded" if n == 0 else "failed", n, 1), told(view)
        assert berth.output(job) == b"".join(b"job %d line %d\n" % (n, i) for i in range(LINES))
        assert view["log"]["complete"] is True
    assert len(berth.obituaries(role)) >= 3, "every death has its line"


@pytest.mark.fault("restart of berthd under a running job", how="TERM with BERTH_DRAIN_TIMEOUT=0s, start again",
                   holds="the container goes on; the next berthd takes it up; end and log true")
def test_a_restarted_berthd_takes_up_what_runs(new_berth):
    berth = new_berth(BERTH_DRAIN_TIMEOUT="0s")
    job = berth.script("echo before; sleep 4; echo after; exit 6")
    wait_until(lambda: berth.output(job) == b"before\n", "it runs")
    assert berth.stop(signal.SIGTERM) == 0
    assert len(berth.on_engine()) == 1, "the container goes on"
    berth.start()
    view = berth.wait(job)
    assert (view["status"], view["exit_code"], view["attempt"]) == ("failed", 6, 1), told(view)
    assert berth.output(job) == b"before\nafter\n"


@pytest.mark.fault("a job ends while no berthd runs", how="kill -9 of berthd, start again when the container has ended or was killed by hand",
                   holds="its end, log and the time of its end are true")
@pytest.mark.parametrize("by_hand", [False, True])
def test_what_ended_without_berthd_ended_then(new_berth, by_hand):
    berth = new_berth()
    job = berth.script(f"echo before; sleep {600 if by_hand else 1}; echo after; exit 6")
    wait_until(lambda: berth.output(job) == b"before\n", "it runs")
    berth.stop(signal.SIGKILL)
    container = f"berth-{job}-1-main"
    if by_hand:
        docker("kill", container)
    wait_until(lambda: docker("inspect", "-f", "{{.State.Running}}", container) == "false", "it has ended")
    ended_before = time.time()
    berth.start()
    view = berth.wait(job)
    expected = ("errored", "container_killed", None, 9) if by_hand else ("failed", "exit_code", 6, None)
    assert (view["status"], view["reason"], view["exit_code"], view["signal"], view["attempt"]) == (*expected, 1), told(view)
    assert berth.output(job) == (b"before\n" if by_hand else b"before\nafter\n")
    begun_at, ended_at = (datetime.datetime.fromisoformat(view["timeline"][step]).timestamp() for step in ("started", "exited"))
    assert begun_at < ended_at <= ended_before, told(view)


@pytest.mark.fault("a helper that answers nothing while berthd ends", how="SIGSTOP of gateway and reaper, then QUIT",
                   holds="berthd ends all the same, and they with it")
def test_a_helper_that_stands_still_does_not_hold_up_the_end(new_berth):
    berth = new_berth()
    job = berth.script("echo up; sleep 600")
    wait_until(lambda: berth.output(job) == b"up\n", "it runs")
    still = [pid for role in ("gateway", "reaper") for pid in berth.children()[role]]
    for pid in still:
        os.kill(pid, signal.SIGSTOP)
    assert berth.stop(signal.SIGQUIT) == 0
    assert not any(os.path.exists(f"/proc/{pid}") for pid in still)
    assert "children have not ended, killing them" in berth.log()
    assert not berth.on_engine()


@pytest.mark.fault("berthd is told to cancel all and cannot end one job, nor record another", how="QUIT with a job that heeds no TERM and a scribe under "
                   "SIGSTOP, then TERM", holds="it leaves with 75 and names both; the next start ends and records them")
def test_quit_that_is_not_waited_for_tells_what_is_left(new_berth):
    berth = new_berth()
    ended = berth.script("echo up; sleep 600")
    deaf = berth.script("trap 'echo told' TERM; echo up; exec 2>/dev/null; while :; do sleep 0.1 || :; done", stop={"grace": "10s"})
    wait_until(lambda: berth.output(deaf) == b"up\n" and berth.output(ended) == b"up\n", "both run")
    [scribe] = berth.children()["scribe"]
    os.kill(scribe, signal.SIGSTOP)
    berth.process.send_signal(signal.SIGQUIT)
    wait_until(lambda: len(berth.children().get("runner", [])) == 1, "one has ended")
    assert berth.stop(signal.SIGTERM) == 75
    assert [f"{deaf}.1"] == berth.attempts_told("job has not ended")
    assert [f"{ended}.1"] == berth.attempts_told("is not recorded")
    berth.start()
    for job in (ended, deaf):
        view = berth.wait(job)
        assert (view["status"], view["reason"], view["attempt"]) == ("canceled", "shutdown", 1), told(view)
    assert berth.output(deaf).startswith(b"up\ntold\n")


@pytest.fixture
def slow_engine():
    made = Engine(slow_start_s=2)
    yield made
    made.destroy()


@pytest.mark.fault("QUIT while a job is being started", how="runc takes 2 s; the command then ends at once, with an exit code that is retried",
                   holds="the job is canceled and has no other attempt")
def test_quit_while_a_job_is_being_started(slow_engine, new_berth):
    berth = new_berth(DOCKER_HOST=slow_engine.host)
    slow_engine.slow.touch()
    job = berth.script("exit 75", network="none", retry={"max": 3, "delay": "0s", "exit_codes": [75]})
    wait_until(lambda: berth.job(job)["timeline"]["created"], "its container is made")
    assert berth.stop(signal.SIGQUIT) == 0
    berth.start()
    view = berth.wait(job)
    assert (view["status"], view["reason"], view["attempt"]) == ("canceled", "shutdown", 1), told(view)


@pytest.mark.fault("a helper or a runner hangs", how="SIGSTOP of gateway, scribe and reaper under a job that writes, and of a runner",
                   holds="each is replaced after a minute; ends and logs are true; a cancel that the runner did not hear of comes through")
def test_children_that_hang_are_replaced(new_berth, recovery):
    berth = new_berth()
    deaf = berth.script("trap '' TERM; echo deaf; sleep 600")
    wait_until(lambda: berth.output(deaf), "it writes")
    [runner] = berth.children()["runner"]
    os.kill(runner, signal.SIGSTOP)
    berth.cancel(deaf, force=True)
    job = berth.script(f"i=0; while [ $i -lt {LINES} ]; do echo $i; i=$((i+1)); sleep 0.1; done; exit 6")
    wait_until(lambda: berth.output(job), "it writes")
    still = {role: berth.children()[role] for role in ("gateway", "scribe", "reaper")}
    for [pid] in still.values():
        os.kill(pid, signal.SIGSTOP)
    with recovery():
        wait_until(lambda: all(berth.children().get(role, pids) not in (pids, []) for role, pids in still.items()),
                   "each is replaced", seconds=HUNG_S, every=0.5)
        wait_until(berth.ready, "Berth answers again")
    view = berth.wait(job)
    assert (view["status"], view["exit_code"], view["attempt"]) == ("failed", 6, 1), told(view)
    assert berth.output(job) == b"".join(b"%d\n" % i for i in range(LINES)) and view["log"]["complete"]
    view = berth.wait(deaf)
    assert (view["status"], view["reason"], view["attempt"]) == ("canceled", "requested", 1), told(view)
    assert berth.output(deaf) == b"deaf\n" and not berth.on_engine()
    hung = [line["child"] for line in berth.log_lines() if line["msg"].startswith("a part of berthd has hung")]
    assert sorted(hung) == sorted([*still, "runner"])
