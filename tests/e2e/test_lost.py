"""An orchestrator that is heard of no more: its jobs are lost, not ended, until it comes back or the time is over."""
import contextlib
import os
import signal

import pytest

from support import Berth, told, wait_until

SHORT = {"BERTH_LEASE": "3s", "BERTH_LOST_AFTER": "10s"}


def freeze(berth):
    os.killpg(berth.process.pid, signal.SIGSTOP)


def thaw(berth):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(berth.process.pid, signal.SIGCONT)


def starts(berth, script, **spec):
    job = berth.script(script, **spec)
    wait_until(lambda: berth.job(job)["status"] == "running", "it runs")
    return job


@pytest.fixture
def two(postgres):
    """Two orchestrators on one database; the second one comes when the first has what is wanted of it."""
    made = [Berth(postgres, **SHORT)]

    def other():
        made.append(Berth(postgres, share=made[0], **SHORT))
        wait_until(lambda: "claiming begins" in made[1].log(), "the second one has proved its engine")
        return made[1]

    yield made[0], other
    for berth in reversed(made):
        thaw(berth)
        berth.destroy()


def test_one_that_comes_back_in_time_goes_on(two):
    first, other = two
    job = starts(first, "echo up; sleep 20; echo end")
    second = other()
    freeze(first)
    lost = wait_until(lambda: second.job(job)["status"] == "lost" and second.job(job), "it is lost")
    assert lost["reason"] == "orchestrator_lost" and first.instance in lost["message"] and not lost["finished_at"], lost
    thaw(first)
    wait_until(lambda: second.job(job)["status"] == "running", "its orchestrator has it again")
    assert second.wait(job)["status"] == "succeeded"
    assert second.output(job) == b"up\nend\n"


def test_after_a_while_it_ends_or_is_repeated_and_its_owner_is_fenced(two):
    first, other = two
    ends = starts(first, "echo up; sleep 600")
    again = starts(first, "echo up; [ $BERTH_ATTEMPT = 2 ] || sleep 600", retry={"max": 1, "delay": "100ms", "on": ["infrastructure"]})
    second = other()
    freeze(first)
    view = second.wait(ends)
    assert (view["status"], view["reason"], view["log"]["complete"]) == ("errored", "orchestrator_lost", False), told(view)
    assert first.instance in view["message"]
    view = second.wait(again)
    assert (view["status"], view["attempt"], view["orchestrator"]) == ("succeeded", 2, second.instance), told(view)
    assert len(first.on_engine()) == 2, "nobody has touched what is not his"
    thaw(first)
    wait_until(lambda: not first.on_engine() and not list(first.state.glob("attempts/*")), "the fenced one clears up")
    assert [second.job(j)["status"] for j in (ends, again)] == ["errored", "succeeded"]
