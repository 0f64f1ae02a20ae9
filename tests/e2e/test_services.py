"""Databases beside the job: there by name before it begins, gone after it."""
import datetime
import subprocess

import pytest

from support import IMAGE, ROOT, docker, told, wait_until

BASE = "debian:bookworm-slim"
POSTGRES = "berth-test-postgres"
ENV = {"POSTGRES_USER": "ci", "POSTGRES_PASSWORD": "secret", "POSTGRES_DB": "ci"}
QUERY = ["sh", "-c", "PGPASSWORD=secret psql -h db -U ci -d ci -qtAc \"select 'hello from ' || current_database()\""]
READY = {"tcp": {"tcp": 5432}, "command": {"command": ["pg_isready", "-q", "-h", "127.0.0.1", "-U", "ci"]}, "health": {"health": True}}


@pytest.fixture(scope="module")
def postgres_images():
    """The image from Debian's packages, and the same with a HEALTHCHECK of the kind that images have."""
    subprocess.run(["bash", "-c", f". {ROOT}/deploy/lib.sh; make_debian_image {BASE}"], check=True)
    env = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "DOCKER_BUILDKIT": "0", "HOME": "/tmp"}
    build = lambda *args, **kwargs: subprocess.run(["docker", "build", "-q", *args], check=True, capture_output=True, env=env, **kwargs)
    build("-t", POSTGRES, "-f", str(ROOT / "tests/images/postgres.Dockerfile"), str(ROOT / "tests/images"))
    build("-t", POSTGRES + "-health", "-", input=f"FROM {POSTGRES}\nHEALTHCHECK --interval=30s CMD pg_isready -q -h 127.0.0.1 -U $POSTGRES_USER\n".encode())


def database(ready):
    return {"name": "db", "image": POSTGRES + ("-health" if "health" in ready else ""), "env": ENV, "ready": ready, "deadline": "1m",
            "limits": {"memory": "512m"}}


def at(text):
    return datetime.datetime.fromisoformat(text[:19]).timestamp() + float("0" + text[19:-1])


@pytest.mark.parametrize("kind", READY)
def test_postgresql_by_name(berth, postgres_images, kind):
    view = berth.submit_and_wait(*QUERY, image=POSTGRES, entrypoint=[], services=[database(READY[kind])])
    assert view["status"] == "succeeded", (view["message"], berth.output(view["id"])[-2000:])
    assert berth.output(view["id"], "?stream=stdout") == b"hello from ci\n"
    service = berth.output(view["id"], "?stream=service:db")
    assert b"database system is ready to accept connections" in service
    # The main container did not start before the database said that it is ready.
    ready = [m for m in berth.messages(view["id"]) if m["stream"] == "service:db" and "ready to accept connections" in m.get("text", "")] \
        if kind != "tcp" else []
    for message in ready[-1:]:
        assert at(view["timeline"]["started"]) > at(message["ts"])
    assert berth.networks_of_jobs() == [] and berth.on_engine() == []


def small(name="web", script="echo begun; mkdir /www; echo hi >/www/index.html; exec httpd -f -p 80 -h /www", **more):
    return {"name": name, "image": IMAGE, "command": ["sh", "-c", script], **more}


@pytest.mark.parametrize("ready", [{"tcp": 80}, {"http": "http://:80/"}, {"command": ["wget", "-q", "-O", "-", "http://127.0.0.1/"]}, {"log": "^be.*n$"}])
def test_every_kind_of_readiness(berth, ready):
    view = berth.run("wget -q -O - http://web/", services=[small(ready=ready, script="sleep 1; echo begun; mkdir /www; echo hi >/www/index.html;"
                                                                                   " exec httpd -f -p 80 -h /www")])
    assert view["status"] == "succeeded", (view, berth.output(view["id"]))
    assert berth.output(view["id"], "?stream=stdout") == b"hi\n"
    assert at(view["timeline"]["started"]) - at(view["timeline"]["claimed"]) >= 1


def test_streams_are_told_apart(berth):
    view = berth.run("echo out; echo err >&2", services=[small("a", "echo from a; exec sleep 600", ready={"log": "from"}),
                                                         small("b", "echo from b >&2; exec sleep 600", ready={"log": "from"})])
    streams = {}
    for m in berth.messages(view["id"]):
        if m["type"] == "log":
            streams[m["stream"]] = streams.get(m["stream"], "") + m["text"]
    assert {k: v for k, v in streams.items() if k != "system"} == {"stdout": "out\n", "stderr": "err\n", "service:a": "from a\n", "service:b": "from b\n"}
    whole = berth.output(view["id"])
    assert len(whole) == view["log"]["bytes"] and view["log"]["complete"]
    import hashlib
    assert hashlib.sha256(whole).hexdigest() == view["log"]["sha256"]


def test_they_are_stopped_in_reverse_order(berth):
    service = lambda name: small(name, f"trap 'echo {name} stops; exit 0' TERM; echo up; while :; do sleep 0.1; done", ready={"log": "up"})
    view = berth.run("true", services=[service("first"), service("second")])
    ends = {m["stream"]: m["ts"] for m in berth.messages(view["id"]) if "stops" in m.get("text", "")}
    assert ends["service:second"] < ends["service:first"], ends


def test_one_that_dies_before_it_is_ready(berth):
    view = berth.run("echo never", services=[small(script="echo cannot bind; exit 7", ready={"tcp": 80}, deadline="1m")])
    assert (view["status"], view["reason"]) == ("failed", "service_failed"), told(view)
    assert "web" in view["message"] and "exit code 7" in view["message"] and "cannot bind" in view["message"]
    assert view["timeline"]["started"] is None


def test_the_usage_is_summed(berth):
    hog = "dd if=/dev/zero of=/dev/shm/x bs=1M count=60; exec sleep 600"
    view = berth.run("dd if=/dev/zero of=/dev/shm/x bs=1M count=60 2>/dev/null", limits={"shm": "100m", "memory": "200m"},
                     services=[small(script="echo up; " + hog, ready={"command": ["sh", "-c", "[ $(stat -c %s /dev/shm/x) -ge 62914560 ]"]},
                                     limits={"shm": "100m", "memory": "200m"})])
    assert view["status"] == "succeeded", told(view)
    assert 120 << 20 <= view["usage"]["memory_peak_bytes"] < 240 << 20, view["usage"]


def test_their_memory_is_admitted_too(new_berth):
    berth = new_berth(BERTH_SLOTS="8", BERTH_MEMORY="256m", BERTH_MAX_MEMORY="256m", BERTH_DEFAULT_MEMORY="64m")
    job = lambda: berth.script("echo up; sleep 600", limits={"memory": "64m"}, services=[small(limits={"memory": "96m"}, ready={"tcp": 80})])
    first, second = job(), job()
    wait_until(lambda: berth.job(first)["status"] == "running", "the first runs")
    assert berth.job(second)["status"] == "queued"
    explained = berth.get(f"/v1/jobs/{second}/explain")
    assert explained["waiting_for"][0]["limit"] == "memory", explained
    for job in (first, second):
        berth.cancel(job, force=True)
        berth.wait(job)


def test_a_runner_that_is_killed_while_a_service_gets_ready(new_berth):
    import os
    import signal
    berth = new_berth()
    job = berth.script("wget -q -O - http://web/", services=[small(script="sleep 3; mkdir /www; echo hi >/www/index.html; exec httpd -f -p 80 -h /www",
                                                                   ready={"tcp": 80})])
    wait_until(lambda: [n for n in berth.on_engine() if n.endswith("-web")], "the service is there")
    [runner] = berth.children()["runner"]
    os.kill(runner, signal.SIGKILL)
    view = berth.wait(job)
    assert (view["status"], view["attempt"]) == ("succeeded", 1), told(view)
    assert berth.networks_of_jobs() == []


def test_forty_in_a_row_and_eight_at_once_leave_no_network(new_berth):
    berth = new_berth(BERTH_SLOTS="8")
    services = [small(ready={"tcp": 80})]
    for _ in range(40):
        assert berth.run("wget -q -O - http://web/", services=services, stop={"grace": "1s"})["status"] == "succeeded"
    jobs = [berth.script("wget -q -O - http://web/", services=services, stop={"grace": "1s"}) for _ in range(8)]
    for job in jobs:
        view = berth.wait(job)
        assert view["status"] == "succeeded", told(view)
        assert berth.output(job, "?stream=stdout") == b"hi\n"
    names = docker("network", "ls", "--filter", f"label=io.berth.instance={berth.instance}", "--format", "{{.Name}}").split()
    assert [n for n in names if not n.startswith("berth-egress")] == []


def test_a_pool_that_is_full_says_so(new_berth):
    berth = new_berth(BERTH_NETWORK_POOL="10.214.7.0/24")
    taken = [docker("network", "create", "--subnet", f"10.214.7.{n}/25", f"berth-test-full-{n}") for n in (0, 128)]
    try:
        view = berth.run("echo never", network="private")
        assert view["status"] == "errored" and "10.214.7.0/24" in view["message"] and "BERTH_NETWORK_POOL" in view["message"], told(view)
    finally:
        for network in taken:
            docker("network", "rm", network)
    assert berth.run("echo room again", network="private")["status"] == "succeeded"
