"""One terminal status, whenever the cancel comes."""
import time

import pytest

from support import IMAGE, HttpError, docker, told, wait_until


def canceled(berth, job):
    view = berth.wait(job)
    assert (view["status"], view["reason"]) == ("canceled", "requested"), told(view)
    ends = berth.sql(f"select count(*) from berth.events where job_id = '{job}' and status in (select name from berth.statuses where terminal)")
    assert ends == "1"
    wait_until(lambda: not [n for n in berth.on_engine() if job in n], "no container of it is left")
    return view


def test_while_queued(new_berth):
    berth = new_berth(BERTH_SLOTS="1")
    first = berth.script("sleep 600")
    wait_until(lambda: berth.job(first)["status"] == "running", "the slot is taken")
    second = berth.script("echo never")
    assert berth.cancel(second) == 202
    assert canceled(berth, second)["started_at"] is None
    berth.cancel(first, force=True)
    canceled(berth, first)


def test_while_preparing(berth):
    # A pull that hangs: a registry that accepts the connection and says nothing.
    import socket
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        job = berth.submit("true", image=f"127.0.0.1:{silent.getsockname()[1]}/never:1")
        wait_until(lambda: berth.job(job)["status"] == "preparing", "it is pulling")
        berth.cancel(job)
        canceled(berth, job)


def test_while_running_and_twice(berth):
    job = berth.script("trap 'echo goodbye; exit 5' TERM; echo up; sleep 600 & wait")
    wait_until(lambda: berth.output(job) == b"up\n", "it runs")
    assert berth.cancel(job) == 202
    try:
        assert berth.cancel(job) == 202
    except HttpError as e:  # it may have ended between the two
        assert e.status == 409
    canceled(berth, job)
    assert berth.output(job) == b"up\ngoodbye\n"
    with pytest.raises(HttpError) as error:
        berth.cancel(job)
    assert error.value.status == 409 and "ended" in error.value.problem["detail"]


def test_force_does_not_wait_for_the_grace(berth):
    job = berth.script("trap '' TERM; echo deaf; while :; do sleep 1; done", stop={"grace": "10m"})
    wait_until(lambda: berth.output(job) == b"deaf\n", "it runs")
    berth.cancel(job)
    wait_until(lambda: berth.job(job)["status"] == "canceling", "the polite way has begun")
    berth.cancel(job, force=True)
    canceled(berth, job)


def test_the_poll_alone_is_enough(new_berth):
    berth = new_berth(BERTH_POLL_INTERVAL="200ms")
    job = berth.script("sleep 600")
    wait_until(lambda: berth.job(job)["status"] == "running", "it runs")
    # The row is changed as the API does, but nobody is notified.
    berth.sql(f"update berth.jobs set cancel = 2, cancel_reason = 'requested', status = 'canceling', reason = 'requested' where id = '{job}'")
    canceled(berth, job)


def test_the_notification_is_immediate(new_berth):
    # The longest poll there can be is a minute: three jobs claimed and canceled within half of it were not polled for.
    berth = new_berth(BERTH_POLL_INTERVAL="1m", BERTH_LEASE="3m")
    begin = time.monotonic()
    for _ in range(3):
        job = berth.script("echo up; sleep 600")
        wait_until(lambda: berth.output(job) == b"up\n", "it runs")
        berth.cancel(job, force=True)
        canceled(berth, job)
    assert time.monotonic() - begin < 30
