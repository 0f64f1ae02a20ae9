"""The command line, as people and pipelines use it."""
import json
import pathlib
import re
import signal

import pytest

from proxy import Proxy
from support import IMAGE, wait_until


def test_run_streams_and_exits_with_the_jobs_code(berth):
    done = berth.client("run", IMAGE, "sh", "-c", "echo to stdout; echo to stderr >&2; exit 9")
    assert (done.returncode, done.stdout) == (9, b"to stdout\n"), done.stderr
    assert b"to stderr\n" in done.stderr


def test_flags_as_of_docker_run(berth):
    done = berth.client("run", "-e", "A=1", "--env", "B=2", "-w", "/tmp", "-u", "1000", "--memory", "64m", "--cpus", "0.5", "--pids-limit", "40",
                        "--label", "x=y", "--name", "flags", "--entrypoint", "/bin/sh", IMAGE, "-c", "echo $A$B; pwd; id -u; cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; true")
    assert (done.returncode, done.stdout.split()) == (0, [b"12", b"/tmp", b"1000", b"40"]), done.stderr
    [job] = berth.get("/v1/jobs?name=flags")["items"]
    assert job["labels"] == {"x": "y"}


@pytest.mark.parametrize("spec, status", [
    ({"script": "exit 0"}, 0), ({"script": "exit 3"}, 3), ({"script": "sleep 600", "deadlines": {"run": "1s"}}, 124),
    ({"command": ["/nope"]}, 127), ({"image": "127.0.0.1:9/x:y"}, 125)])
def test_exit_statuses(berth, spec, status):
    done = berth.client("submit", "-f", "-", input=json.dumps({"image": IMAGE, **spec}).encode())
    assert done.returncode == 0, done.stderr
    job = done.stdout.decode().strip()
    assert berth.client("wait", job).returncode == status


def test_detached_ps_inspect_cancel(berth):
    job = berth.client("run", "-d", "--name", "detached", IMAGE, "sleep", "600").stdout.decode().strip()
    assert re.fullmatch("[0-9a-f-]{36}", job)
    wait_until(lambda: berth.job(job)["status"] == "running", "it runs")
    listing = berth.client("ps").stdout.decode()
    assert job[:8] in listing and "running" in listing and "detached" in listing
    view = json.loads(berth.client("inspect", job).stdout)
    assert (view[0] if isinstance(view, list) else view)["id"] == job
    assert berth.client("cancel", "--force", job).returncode == 0
    assert berth.client("wait", job).returncode == 130
    assert job not in berth.client("ps", "-o", "name").stdout.decode()
    assert job in berth.client("ps", "-a", "-o", "name").stdout.decode()


def test_forms_of_output_and_a_job_that_waits(new_berth):
    berth = new_berth(BERTH_SLOTS="1")
    first = berth.script("sleep 600")
    wait_until(lambda: berth.job(first)["status"] == "running", "the slot is taken")
    done = berth.client("submit", "-o", "json", "-f", "-", input=json.dumps({"image": IMAGE, "script": "echo never"}).encode())
    waiting = json.loads(done.stdout)["id"]
    logs = berth.client("logs", waiting)
    assert (logs.returncode, logs.stdout, logs.stderr) == (0, b"", b"")
    assert set(berth.client("ps", "-a", "-o", "name").stdout.decode().split()) == {first, waiting}
    assert {job["id"] for job in json.loads(berth.client("ps", "-o", "json").stdout)} == {first, waiting}
    both = berth.client("inspect", first, waiting)
    views, text = [], both.stdout.decode().strip()
    while text:
        view, end = json.JSONDecoder().raw_decode(text)
        views.append(view["id"])
        text = text[end:].strip()
    assert views == [first, waiting]
    assert berth.client("cancel", "--force", waiting, first).returncode == 0


def test_a_unique_prefix_names_a_job(berth):
    job = berth.run("echo by prefix")["id"]
    assert berth.client("logs", job[:-2]).stdout == b"by prefix\n"


@pytest.mark.parametrize("args, status, words", [
    (["frobnicate"], 2, [b"frobnicate"]),
    (["run"], 2, [b"IMAGE"]),
    (["run", "--memory", "lots", IMAGE], 2, [b"memory"]),
    (["logs", "01890000-0000-7000-8000-000000000000"], 125, [b"01890000"]),
])
def test_wrong_usage(berth, args, status, words):
    done = berth.client(*args)
    assert done.returncode == status, (done.returncode, done.stderr)
    for word in words:
        assert word in done.stderr


def test_no_server_and_wrong_token(berth):
    done = berth.client("ps", env={"BERTH_URL": "http://127.0.0.1:9"})
    assert done.returncode == 125 and b"127.0.0.1:9" in done.stderr
    done = berth.client("ps", env={"BERTH_TOKEN": "wrong"})
    assert done.returncode == 125 and b"BERTH_TOKEN" in done.stderr


def test_what_cannot_pass_is_not_waited_for(berth):
    done = berth.client("submit", "-f", "-", input=json.dumps({"image": IMAGE}).encode(), env={"BERTH_URL": "http://127.0.0.1:99999"})
    assert done.returncode == 125 and b"99999" in done.stderr and b"trying again" not in done.stderr, done.stderr


def test_a_job_that_comes_while_the_server_is_away_waits_for_it(new_berth):
    berth = new_berth()
    berth.stop(signal.SIGTERM)
    run = berth.client_process("run", IMAGE, "echo", "patient")
    assert b"trying again" in run.stderr.readline(), "it says what it waits for"
    berth.start()
    out, err = run.communicate(timeout=60)
    assert (run.returncode, out) == (0, b"patient\n"), err


def test_an_answer_that_is_lost_makes_no_second_job(berth):
    proxy = Proxy(upstream=("127.0.0.1", berth.port))
    cut = proxy.cut_after(b"POST /v1/jobs")
    spec = json.dumps({"image": IMAGE, "name": "once", "command": ["true"]}).encode()
    done = berth.client("submit", "-f", "-", input=spec, env={"BERTH_URL": f"http://127.0.0.1:{proxy.port}"})
    proxy.close()
    assert done.returncode == 0 and cut.done.is_set() and b"trying again" in done.stderr, done.stderr
    assert berth.sql("select id from berth.jobs where name = 'once'") == done.stdout.decode().strip()


def test_extend_is_sent_once(berth):
    job = berth.script("sleep 600", deadlines={"run": "10m"})
    wait_until(lambda: berth.job(job)["deadline_at"], "it runs")
    proxy = Proxy(upstream=("127.0.0.1", berth.port))
    proxy.cut_after(b"/extend")
    done = berth.client("extend", job, "10m", env={"BERTH_URL": f"http://127.0.0.1:{proxy.port}"})
    proxy.close()
    assert done.returncode == 125, done.stderr
    assert wait_until(lambda: berth.sql(f"select run_extra_ms from berth.attempts where job_id = '{job}'") != "0", "it was done")
    assert berth.sql(f"select run_extra_ms from berth.attempts where job_id = '{job}'") == "600000"
    berth.cancel(job, force=True)


def test_ctrl_c_twice_breaks_off_a_call_that_is_not_answered(berth):
    proxy = Proxy(upstream=("127.0.0.1", berth.port))
    proxy.swallow()
    run = berth.client_process("run", IMAGE, "true", env={"BERTH_URL": f"http://127.0.0.1:{proxy.port}"})

    def interrupt_in(mask):
        return int(re.search(rf"{mask}:\s*(\w+)", pathlib.Path(f"/proc/{run.pid}/status").read_text())[1], 16) & 1 << signal.SIGINT - 1

    wait_until(lambda: interrupt_in("SigBlk"), "it holds interrupts")
    for _ in range(2):
        run.send_signal(signal.SIGINT)
        wait_until(lambda: run.poll() is not None or not interrupt_in("ShdPnd"), "it has seen it")
    assert b"interrupted" in run.communicate(timeout=20)[1] and run.returncode != 0
    proxy.close()


def test_ctrl_c_cancels(berth):
    client = berth.client_process("run", "--name", "interrupted", IMAGE, "sh", "-c", "trap 'echo bye; exit 0' TERM; echo up; sleep 600 & wait")
    assert client.stdout.readline() == b"up\n"
    client.send_signal(signal.SIGINT)
    out, err = client.communicate(timeout=60)
    assert (client.returncode, out) == (130, b"bye\n"), err


def test_a_restarted_gateway_costs_the_viewer_nothing(berth):
    import os
    job = berth.script("i=0; while [ $i -lt 30 ]; do echo line $i; i=$((i+1)); sleep 0.1; done")
    viewer = berth.client_process("logs", "-f", job)
    first = viewer.stdout.readline()
    os.kill(berth.children()["gateway"][0], signal.SIGKILL)
    rest, err = viewer.communicate(timeout=90)
    assert first + rest == b"".join(b"line %d\n" % i for i in range(30)), err
    assert viewer.returncode == 0, err
