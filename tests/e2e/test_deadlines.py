"""A run deadline is kept, politely first."""
import time

from support import told, wait_until


def ended_by_deadline(berth, script):
    job = berth.script(script, deadlines={"run": "2s"}, stop={"grace": "2s"})
    view = berth.wait(job)
    assert (view["status"], view["reason"]) == ("timed_out", "run_deadline"), told(view)
    assert berth.on_engine() == []
    return view


def seconds(view):
    parse = lambda text: time.mktime(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) + float("0" + text[19:-1])
    return parse(view["finished_at"]) - parse(view["started_at"])


def test_last_words_are_in_the_log(berth):
    view = ended_by_deadline(berth, "trap 'echo last words; exit 0' TERM; echo first; sleep 600 & wait")
    assert berth.output(view["id"]) == b"first\nlast words\n"
    assert "2s" in view["message"]
    assert seconds(view) < 5


def test_who_ignores_term_is_killed_after_the_grace(berth):
    view = ended_by_deadline(berth, "trap '' TERM; echo deaf; while :; do sleep 1; done")
    assert berth.output(view["id"]) == b"deaf\n"
    # 2 s to the deadline, 2 s of grace, and what the engine takes to kill.
    assert 4 <= seconds(view) < 10


def test_queue_deadline(new_berth):
    berth = new_berth(BERTH_SLOTS="1")
    first = berth.script("sleep 600")
    late = berth.script("echo never", deadlines={"queue": "1s"})
    view = berth.wait(late)
    assert (view["status"], view["reason"]) == ("timed_out", "queue_deadline"), told(view)
    berth.cancel(first, force=True)
    berth.wait(first)


def test_time_goes_on_while_nothing_is_claimed(new_berth):
    berth = new_berth(BERTH_LEASE="3s")
    berth.sql("update berth.orchestrators set draining = true")
    wait_until(lambda: "draining, no more claims" in berth.log(), "it drains")
    late = berth.script("echo never", deadlines={"queue": "1s"})
    view = berth.wait(late)
    assert (view["status"], view["reason"]) == ("timed_out", "queue_deadline"), told(view)


def test_a_kill_ends_with_the_whole_log_and_the_true_signal(berth):
    view = ended_by_deadline(berth, "trap '' TERM; echo deaf; (while :; do sleep 1; done) & while :; do sleep 1; done")
    assert (view["exit_code"], view["signal"]) == (None, 9), told(view)
    assert view["log"]["complete"] is True, "init has lived to tell the end"


def test_force_keeps_the_whole_log_too(berth):
    job = berth.script("echo begun; kill -STOP $$", stop={"grace": "10m"})
    wait_until(lambda: berth.output(job) == b"begun\n", "it runs")
    berth.cancel(job, force=True)
    view = berth.wait(job)
    assert (view["status"], view["signal"], view["log"]["complete"]) == ("canceled", 9, True), told(view)
