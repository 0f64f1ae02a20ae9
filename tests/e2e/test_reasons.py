"""Every end of a job, one row per reason of the contract, each brought about for real."""
import re
import signal
import socket

import pytest

from engine import Engine
from registry import Registry
from support import IMAGE, ROOT, Berth, docker, told, wait_until

STATUS_H = (ROOT / "proto" / "status.h").read_text()
REASONS = dict((word, status.lower()) for word, status in
               re.findall(r'X\([A-Z_]+,\s*"([a-z_]+)",\s*([A-Z_]+),\s*(?:true|false)\)', STATUS_H.split("TRANSITION_TABLE")[0]))
CASES = {}


def reason(word, exit_code=None, words=(), signal_number=None):
    """A case gives the job as it has ended; what it must look like stands beside its name."""
    def keep(function):
        CASES[word] = (function, exit_code, signal_number, words)
        return function
    return keep


class World:
    """What the cases share: Berths, engines and registries that are made when first asked for."""

    def __init__(self, postgres):
        self.postgres, self.made = postgres, {}

    def get(self, name, make):
        if name not in self.made:
            self.made[name] = make()
        return self.made[name]

    @property
    def berth(self):
        return self.get("berth", lambda: Berth(self.postgres, BERTH_SLOTS="8"))

    @property
    def registry(self):
        return self.get("registry", Registry)

    @property
    def locked_registry(self):
        return self.get("locked", lambda: Registry(password=True))

    def second(self, **settings):
        """A Berth that a case may break; used once."""
        name = f"berth {len(self.made)}"
        return self.get(name, lambda: Berth(self.postgres, **settings))

    def engine(self, **options):
        return self.get(f"engine {len(self.made)}", lambda: Engine(**options))

    def destroy(self):
        for thing in reversed(list(self.made.values())):
            thing.destroy()


@pytest.fixture(scope="module")
def world(postgres):
    shared = World(postgres)
    yield shared
    shared.destroy()


@reason("exit_code", exit_code=137, words=["137"])
def exit_code(world):
    return world.berth.run("exit 137")  # alone it never means a lack of memory


@reason("signal", signal_number=11, words=["signal 11", "SIGSEGV"])
def ended_by_signal(world):
    return world.berth.run("kill -SEGV $$")


@reason("oom", signal_number=9, words=["memory", "64", "limits.memory"])
def memory(world):
    return world.berth.submit_and_wait("dd", "if=/dev/zero", "of=/dev/null", "bs=300M", "count=1", limits={"memory": "64m"})


@reason("command_not_found", exit_code=127, words=["no-such-program", "not found"])
def command_not_found(world):
    return world.berth.submit_and_wait("no-such-program")


@reason("command_not_executable", exit_code=126, words=["/etc/passwd", "cannot be executed"])
def command_not_executable(world):
    return world.berth.submit_and_wait("/etc/passwd")


@reason("service_failed", signal_number=15, words=["db", "exit code 3", "the last words"])
def service_failed(world):
    service = {"name": "db", "image": IMAGE, "command": ["sh", "-c", "sleep 2; echo the last words; exit 3"]}
    return world.berth.run("exec sleep 600", services=[service])


@reason("service_not_ready", words=["db", "port 5432", "2s"])
def service_not_ready(world):
    service = {"name": "db", "image": IMAGE, "command": ["sleep", "600"], "ready": {"tcp": 5432}, "deadline": "2s"}
    return world.berth.run("echo never", services=[service])


@reason("image_not_found", words=["never/was:1"])
def image_not_found(world):
    return world.berth.submit_and_wait("true", image=f"{world.registry.host}/never/was:1")


@reason("image_denied", words=["locked/app:1", "redentials"])
def image_denied(world):
    return world.berth.submit_and_wait("true", image=world.locked_registry.push("locked/app:1"))


@reason("pull_failed", words=["refused"])
def pull_failed(world):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return world.berth.submit_and_wait("true", image=f"127.0.0.1:{closed.getsockname()[1]}/nobody/home:1")


@reason("spec_refused", words=["nosuchuser"])
def spec_refused(world):
    return world.berth.submit_and_wait("true", user="nosuchuser")


@reason("pull_deadline", words=["2s", "deadlines.pull"])
def pull_deadline(world):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        return world.berth.submit_and_wait("true", image=f"127.0.0.1:{silent.getsockname()[1]}/stalled/pull:1", deadlines={"pull": "2s"})


@reason("start_deadline", signal_number=15, words=["2s", "deadlines.start"])
def start_deadline(world):
    engine = world.engine(slow_start_s=5)
    berth = world.second(DOCKER_HOST=engine.host)
    engine.slow.touch()
    return berth.run("exec sleep 600", deadlines={"start": "2s"}, network="none")


@reason("run_deadline", signal_number=15, words=["1s", "deadlines.run"])
def run_deadline(world):
    return world.berth.submit_and_wait("sleep", "600", deadlines={"run": "1s"})


@reason("idle_deadline", words=["2s", "deadlines.idle", "no output"], signal_number=15)
def idle_deadline(world):
    view = world.berth.submit_and_wait("sh", "-c", "for i in 1 2 3 4; do echo still alive; sleep 1; done; exec sleep 600",
                                       deadlines={"idle": "2s", "run": "10m"})
    assert world.berth.output(view["id"]) == b"still alive\n" * 4
    return view


@reason("queue_deadline", words=["queue deadline"])
def queue_deadline(world):
    berth = world.second(BERTH_SLOTS="1")
    first = berth.script("sleep 600")
    wait_until(lambda: berth.job(first)["status"] == "running", "the slot is taken")
    view = berth.wait(berth.script("echo never", deadlines={"queue": "1s"}))
    berth.cancel(first, force=True)
    berth.wait(first)
    return view


def running_container(berth, job):
    wait_until(lambda: berth.output(job) == b"up\n", "it runs")
    [name] = [n for n in berth.on_engine() if job in n]
    return name


@reason("container_removed", words=["removed", "docker rm"])
def container_removed(world):
    job = world.berth.script("echo up; sleep 600")
    docker("rm", "-f", running_container(world.berth, job))
    return world.berth.wait(job)


@reason("container_killed", signal_number=9, words=["someone else", "signal 9"])
def container_killed(world):
    job = world.berth.script("echo up; sleep 600")
    docker("kill", running_container(world.berth, job))
    return world.berth.wait(job)


@reason("engine_restarted", signal_number=15, words=["engine"])
def engine_restarted(world):
    engine = world.engine()
    berth = world.second(DOCKER_HOST=engine.host)
    job = berth.script("echo up; sleep 600", network="none")
    wait_until(lambda: berth.output(job) == b"up\n", "it runs")
    engine.stop()
    engine.start()
    return berth.wait(job)


@reason("engine_unavailable", words=["engine", "60 s"])
def engine_unavailable(world):
    engine = world.engine()
    berth = world.second(DOCKER_HOST=engine.host)
    assert berth.run("true", network="none")["status"] == "succeeded", "the engine was proved"
    engine.stop()
    job = berth.script("echo never", network="none")
    view = wait_until(lambda: (lambda v: v["finished_at"] and v)(berth.job(job)), "the job ends", seconds=150, every=0.5)
    engine.start()
    return view


@reason("host_restarted", words=["machine was restarted"])
def host_restarted(world):
    berth = world.second()
    job = berth.script("echo up; sleep 600")
    name = running_container(berth, job)
    berth.stop(signal.SIGKILL)
    # What a restart of the machine leaves: no container that runs, and a journal of another boot.
    docker("kill", name)
    journal = berth.state / "attempts" / f"{job}.1" / "journal"
    journal.write_text(re.sub(r'"boot_id":\s*"[0-9a-f-]+"', '"boot_id":"00000000-0000-4000-8000-000000000000"', journal.read_text()))
    berth.start()
    return berth.wait(job)


@reason("orchestrator_lost", words=["orchestrator"])
def orchestrator_lost(world):
    settings = {"BERTH_LEASE": "3s", "BERTH_LOST_AFTER": "10s"}
    dead = world.second(**settings)
    job = dead.script("echo up; sleep 600")
    wait_until(lambda: dead.output(job) == b"up\n", "it runs")
    dead.stop(signal.SIGKILL)
    judge = world.get(f"berth {len(world.made)}", lambda: Berth(world.postgres, share=dead, **settings))
    wait_until(lambda: judge.job(job)["status"] == "lost", "it is shown as lost")
    view = judge.wait(job)
    assert view["log"]["complete"] is False
    dead.start()  # it comes back too late, finds itself fenced, and ends its container
    wait_until(lambda: not [n for n in dead.on_engine() if job in n], "the late one has cleaned up")
    return view


@reason("internal", words=["container named", "Remove it"])
def internal(world):
    berth = world.second(BERTH_SLOTS="1")
    first = berth.script("echo up; sleep 600")
    wait_until(lambda: berth.output(first) == b"up\n", "the slot is taken")
    job = berth.script("echo never")
    docker("create", "--name", f"berth-{job}-1-main", IMAGE, "true")  # the name that the attempt is to have
    berth.cancel(first, force=True)
    view = berth.wait(job)
    assert docker("inspect", "--format", "{{.State.Status}}", f"berth-{job}-1-main") == "created", "it is not ours and left alone"
    docker("rm", f"berth-{job}-1-main")
    return view


@reason("requested", signal_number=15, words=["request"])
def requested(world):
    job = world.berth.submit("sh", "-c", "echo up; exec sleep 600")
    wait_until(lambda: world.berth.output(job) == b"up\n", "it runs")
    world.berth.cancel(job)
    return world.berth.wait(job)


@reason("superseded", signal_number=15, words=["concurrency"])
def superseded(world):
    key = {"key": "deploy", "on_conflict": "cancel_running"}
    job = world.berth.submit("sh", "-c", "echo up; exec sleep 600", concurrency=key)
    wait_until(lambda: world.berth.output(job) == b"up\n", "it runs")
    newer = world.berth.run("echo newer", concurrency=key)
    assert newer["status"] == "succeeded"
    return world.berth.wait(job)


@reason("shutdown", signal_number=15, words=["orchestrator was told to end"])
def shutdown(world):
    berth = world.second()
    job = berth.submit("sh", "-c", "echo up; exec sleep 600")
    wait_until(lambda: berth.output(job) == b"up\n", "it runs")
    berth.stop(signal.SIGQUIT)
    berth.start()
    return berth.wait(job)


def test_every_reason_of_the_contract_has_a_row():
    assert len(REASONS) == 26 and set(CASES) == set(REASONS)


@pytest.mark.parametrize("word", CASES)
def test_reason(world, word):
    case, exit_code_, signal_number, words = CASES[word]
    view = case(world)
    shown = {k: view[k] for k in ("status", "reason", "message", "exit_code", "signal", "attempt", "usage", "timeline", "log")}
    assert (view["status"], view["reason"]) == (REASONS[word], word), shown
    assert (view["exit_code"], view["signal"]) == (exit_code_, signal_number), shown
    for expected in words:
        assert expected in view["message"], shown
    assert view["finished_at"] and view["timeline"]["queued"], shown
    if view["started_at"] and word not in ("orchestrator_lost", "host_restarted"):
        assert view["timeline"]["started"] and view["timeline"]["exited"] and view["timeline"]["cleaned"], shown


def test_nothing_is_left_on_the_engine(world):
    berth = world.berth
    wait_until(lambda: berth.on_engine() == [], "no container")
    assert berth.networks_of_jobs() == []


# --- more than one way to the same end ---

def test_memory_of_init_itself(berth):
    """The kernel takes PID 1: nobody writes down how the job ended, the engine says so."""
    view = berth.run("echo 1000 >/proc/1/oom_score_adj; dd if=/dev/zero of=/dev/null bs=300M count=1; echo $?",
                     limits={"memory": "64m"})
    assert (view["status"], view["reason"]) == ("failed", "oom"), told(view)
    assert "64" in view["message"]


def test_a_child_without_memory_is_a_warning_when_the_job_goes_on(berth):
    view = berth.run("dd if=/dev/zero of=/dev/null bs=300M count=1 || echo goes on", limits={"memory": "64m"})
    assert (view["status"], view["exit_code"], view["usage"]["oom_kills"]) == ("succeeded", 0, 1), told(view)
    assert "memory" in view["message"] and "64" in view["message"]
    assert berth.output(view["id"], "?stream=stdout") == b"goes on\n"


def test_a_signal_from_outside_is_not_the_programs(berth):
    job = berth.script("echo up; exec sleep 600")
    docker("kill", "-s", "TERM", running_container(berth, job))
    view = berth.wait(job)
    assert (view["status"], view["reason"], view["signal"]) == ("errored", "container_killed", 15), told(view)


def test_who_pauses_a_container_does_not_stop_its_clock(berth):
    job = berth.script("trap 'echo goodbye; exit 0' TERM; echo up; while :; do sleep 1; done", deadlines={"run": "3s"})
    docker("pause", running_container(berth, job))
    view = berth.wait(job)
    assert (view["status"], view["reason"]) == ("timed_out", "run_deadline"), told(view)
    assert "paused" in view["message"]


