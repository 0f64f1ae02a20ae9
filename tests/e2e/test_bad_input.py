"""Every wrong thing gets a sentence that names it and the remedy; nothing crashes, hangs or is lost."""
import json
import os
import socket
import subprocess
import tempfile
import time

import pytest

from support import BUILD, IMAGE, Berth, HttpError, free_port, told, wait_until


def refused(berth, method, path, body=None, **kwargs):
    with pytest.raises(HttpError) as error:
        berth.request(method, path, body, **kwargs)
    assert error.value.headers["Content-Type"].startswith("application/problem+json")
    problem = error.value.problem
    assert problem["status"] == error.value.status and problem["title"] and problem["instance"]
    return error.value.status, problem


def test_all_faults_of_a_spec_at_once_by_pointer(berth):
    status, problem = refused(berth, "POST", "/v1/jobs", {
        "command": ["a"], "script": "b", "limits": {"memory": "lots", "pids": -1, "cpus": 1e9}, "privileged": True,
        "env": {"A=B": "x"}, "deadlines": {"run": "soon"}, "labels": {"io.berth.job": "x"}, "comand": []})
    assert status == 422
    pointers = {e["pointer"] for e in problem["errors"]}
    assert {"/image", "/limits/memory", "/limits/pids", "/limits/cpus", "/privileged", "/env/A=B", "/deadlines/run",
            "/labels/io.berth.job", "/comand"} <= pointers, pointers
    assert all(e["detail"] for e in problem["errors"])
    assert "command" in next(e["detail"] for e in problem["errors"] if e["pointer"] == "/comand"), "the nearest name"


@pytest.mark.parametrize("body, headers, status", [
    (b"{", {}, 400),
    (b'{"image": "a", "image": "b"}', {}, (400, 422)),
    (b"[]", {}, 422),
    (b'{"image": "x"}', {"Content-Type": "text/plain"}, 415),
    (b'{"image": "' + b"x" * (1 << 20) + b'"}', {}, 413),
], ids=["torn", "twice", "array", "type", "long"])
def test_bodies(berth, body, headers, status):
    got, _ = refused(berth, "POST", "/v1/jobs", body, headers=headers)
    assert got in (status if isinstance(status, tuple) else (status,))


def test_routes_and_tokens(berth):
    assert refused(berth, "GET", "/v1/nothing")[0] == 404
    assert refused(berth, "PATCH", "/v1/jobs")[0] == 405
    assert refused(berth, "GET", "/v1/jobs/01890000-0000-7000-8000-000000000000")[0] == 404
    assert refused(berth, "GET", "/v1/jobs/..%2f..%2fetc")[0] == 404
    assert refused(berth, "GET", "/v1/jobs", token=False)[0] == 401
    assert refused(berth, "GET", "/v1/jobs", token=berth.token[:-1])[0] == 401


def test_idempotency(berth):
    key = {"Idempotency-Key": f'"{time.monotonic_ns()}"'}
    body = {"image": IMAGE, "command": ["true"]}
    first = berth.request("POST", "/v1/jobs", body, headers=key)
    again = berth.request("POST", "/v1/jobs", body, headers=key)
    assert (first[0], again[0]) == (201, 200)
    assert json.loads(first[2])["id"] == json.loads(again[2])["id"]
    assert first[1]["Location"].endswith(json.loads(first[2])["id"])
    assert refused(berth, "POST", "/v1/jobs", {**body, "name": "other"}, headers=key)[0] == 422


def test_unknown_image(berth):
    view = berth.wait(berth.submit("true", image="127.0.0.1:9/no/such:tag"))
    assert view["status"] == "errored" and view["reason"] in ("pull_failed", "image_not_found"), told(view)
    assert "127.0.0.1:9/no/such:tag" in view["message"]


@pytest.mark.parametrize("spec", ["poison", "{}", '{"image": 5}', '{"image": "x", "limits": {"memory": -1}}',
                                  '{"image": "x", "privileged": true}', '"' + "x" * 2_000_000 + '"'],
                         ids=["text", "empty", "type", "negative", "privileged", "long"])
def test_a_poison_row_harms_nothing_else(berth, spec):
    job = "0189%04x-0000-7000-8000-%012x" % (os.getpid() & 0xffff, time.monotonic_ns() & 0xffffffffffff)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(f"insert into berth.jobs (id, spec) values ('{job}', $poison${spec}$poison$)")
        script.flush()
        os.chmod(script.name, 0o644)
        subprocess.run(["psql", "-h", str(berth.postgres.socket), "-U", "berth", "-d", berth.database, "-qf", script.name], check=True)
    view = berth.wait(job)
    assert (view["status"], view["reason"]) == ("errored", "spec_refused") and view["message"], told(view)
    assert berth.run("echo goes on")["status"] == "succeeded"


def test_submit_by_sql(berth):
    job = berth.sql(f"""select berth.submit('{{"image": "{IMAGE}", "command": ["echo", "from sql"]}}')""")
    assert berth.wait(job)["status"] == "succeeded"
    assert berth.output(job) == b"from sql\n"


def start_and_fail(environment, status, *words):
    env = {k: v for k, v in os.environ.items() if not k.startswith("BERTH_")}
    done = subprocess.run([str(BUILD / "orchestrator" / "berthd"), "run"], env={**env, **environment},
                          capture_output=True, text=True, timeout=150)
    assert done.returncode == status, done.stderr[-2000:]
    for word in words:
        assert word in done.stderr, done.stderr[-2000:]


def test_wrong_settings_all_at_once():
    start_and_fail({"BERTH_SLOTS": "none", "BERTH_LEASE": "-1s", "BERTH_POL_INTERVAL": "1s", "BERTH_AUTH": "off",
                    "BERTH_LISTEN": "0.0.0.0:8710"}, 64, "slots", "none", "lease", "BERTH_POL_INTERVAL", "BERTH_POLL_INTERVAL", "auth")


def test_state_directory_that_cannot_be_written(tmp_path):
    place = tmp_path / "file"
    place.write_text("")
    start_and_fail({"BERTH_STATE_DIR": str(place / "state"), "BERTH_DATABASE_URL": "host=/nowhere"}, 69, str(place), "state")


def test_unreachable_database(tmp_path):
    start_and_fail({"BERTH_STATE_DIR": str(tmp_path), "BERTH_DATABASE_URL": "host=/nowhere dbname=x", "BERTH_START_TIMEOUT": "2s"}, 69,
                   "database", "/nowhere")


def test_unreachable_engine(postgres, tmp_path):
    database = postgres.new_database()
    start_and_fail({"BERTH_STATE_DIR": str(tmp_path), "BERTH_DATABASE_URL": postgres.url(database), "BERTH_LISTEN": f"127.0.0.1:{free_port()}",
                    "DOCKER_HOST": "unix:///no/such.sock", "BERTH_START_TIMEOUT": "2s"}, 69, "/no/such.sock", "DOCKER_HOST")


def test_a_port_in_use(postgres, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        database = postgres.new_database()
        start_and_fail({"BERTH_STATE_DIR": str(tmp_path), "BERTH_DATABASE_URL": postgres.url(database), "BERTH_LISTEN": address},
                       64, address, "BERTH_LISTEN")


def test_a_second_one_on_the_same_state_directory(berth):
    start_and_fail({**{k: v for k, v in berth.environment().items() if k.startswith("BERTH_")}, "BERTH_LISTEN": f"127.0.0.1:{free_port()}"},
                   75, str(berth.state), "in use by another berthd")
    assert berth.run("true")["status"] == "succeeded"


def test_database_away_is_said_and_nothing_is_lost(new_berth):
    from support import Postgres
    own = Postgres()
    berth = Berth(own)
    try:
        job = berth.script("i=0; while [ $i -lt 40 ]; do echo $i; i=$((i+1)); sleep 0.1; done")
        wait_until(lambda: berth.output(job), "it writes")
        own.stop("immediate")

        def says_503():
            try:
                berth.request("GET", "/v1/jobs")
            except HttpError as e:
                return e.status == 503 and e.headers["Retry-After"]
            return False
        wait_until(says_503, "503 with Retry-After")
        own.start()
        view = berth.wait(job)
        assert view["status"] == "succeeded" and view["attempt"] == 1
        assert berth.output(job) == b"".join(b"%d\n" % i for i in range(40))
    finally:
        berth.destroy()
        own.destroy()
