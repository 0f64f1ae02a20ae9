"""The two ways in which operators start it: quickstart on the machine, docker-compose in containers."""
import json
import os
import pathlib
import secrets
import shutil
import subprocess
import tempfile
import time
import urllib.request

import pytest

from support import IMAGE, ROOT, docker, free_port, told, wait_until

BASE = "debian:bookworm-slim"


@pytest.fixture
def clone():
    place = pathlib.Path(tempfile.mkdtemp(prefix="berth-clone-", dir="/var/tmp"))
    subprocess.run(["git", "clone", "-q", str(ROOT), str(place / "berth")], check=True)
    yield place / "berth"
    shutil.rmtree(place, ignore_errors=True)


def test_quickstart(clone):
    state = tempfile.mkdtemp(prefix="berth-quick-", dir="/var/tmp")
    env = {"PATH": os.environ["PATH"], "HOME": "/root", "BERTH_STATE_DIR": state, "BERTH_LISTEN": f"127.0.0.1:{free_port()}"}
    run = lambda *args: subprocess.run([str(clone / "deploy/quickstart"), *args], env=env, capture_output=True, text=True, timeout=900)
    try:
        first = run()
        assert first.returncode == 0, first.stderr[-3000:]
        assert "round 4 of 4" in first.stdout and first.stdout.endswith("done\n")
        assert "berth run" in first.stderr.splitlines()[-3] and "quickstart stop" in first.stderr.splitlines()[-1]
        assert (clone / ".berth/env").stat().st_mode & 0o777 == 0o600
        hello = subprocess.run(["bash", "-c", ". .berth/env; berth run berth-demo echo hello"], cwd=clone, env={"PATH": os.environ["PATH"]},
                               capture_output=True, text=True, timeout=60)
        assert (hello.returncode, hello.stdout) == (0, "hello\n"), hello.stderr
        begin = time.monotonic()
        again = run()
        assert again.returncode == 0, again.stderr
        print(f"second quickstart: {time.monotonic() - begin:.1f} s")
        status = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True).stdout
        assert status == "", "nothing that git would see"
    finally:
        stopped = run("stop")
        shutil.rmtree(state, ignore_errors=True)
    assert stopped.returncode == 0, stopped.stderr
    assert not subprocess.run(["pgrep", "-f", state], capture_output=True).stdout


def test_compose(clone):
    """docker build, docker-compose up, a job from the host, a recreated container with the same identity."""
    subprocess.run(["bash", "-c", f". {ROOT}/deploy/lib.sh; make_debian_image {BASE}"], check=True)
    project = "berth" + secrets.token_hex(3)
    state = tempfile.mkdtemp(prefix="berth-compose-", dir="/var/tmp")
    port, token = free_port(), "berth_" + secrets.token_hex(16)
    env = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/tmp", "DOCKER_BUILDKIT": "0", "COMPOSE_PROJECT_NAME": project,
           "BERTH_STATE_DIR": state, "BERTH_PUBLISH": f"127.0.0.1:{port}", "BERTH_ADMIN_TOKEN": token,
           "BERTH_POSTGRES_IMAGE": "berth-test-postgres", "BERTH_IMAGE": "berth-test-berth"}

    def command(*args):
        done = subprocess.run(args, cwd=clone, env=env, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, (args, done.stdout[-2000:], done.stderr[-3000:])
        return done.stdout

    def api(path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body and json.dumps(body).encode(),
                                         headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def up():
        try:
            return api("/readyz")
        except OSError:
            return None

    command("docker", "build", "-q", "-t", "berth-test-postgres", "-f", "tests/images/postgres.Dockerfile", "tests/images")
    command("docker", "build", "-q", "-t", "berth-test-berth", ".")
    try:
        command("docker-compose", "up", "-d", "--no-build")
        wait_until(up, "berthd in compose answers")
        view = json.loads(api("/v1/jobs?wait=60s", {"image": IMAGE, "script": "echo from compose; exit 3"}))
        assert (view["status"], view["exit_code"]) == ("failed", 3), told(view)
        assert api(f"/v1/jobs/{view['id']}/logs") == b"from compose\n"
        name = view["orchestrator"]
        # A job that goes on while its berthd is replaced.
        long = json.loads(api("/v1/jobs", {"image": IMAGE, "script": "echo begin; sleep 50; echo end"}))["id"]
        wait_until(lambda: api(f"/v1/jobs/{long}/logs") == b"begin\n", "it runs")
        command("docker-compose", "up", "-d", "--no-build", "--force-recreate", "--no-deps", "berthd")
        wait_until(up, "the new container answers")
        view = wait_until(lambda: (lambda v: v["finished_at"] and v)(json.loads(api(f"/v1/jobs/{long}?wait=20s"))), "the long job ends")
        assert (view["status"], view["attempt"], view["orchestrator"]) == ("succeeded", 1, name), told(view)
        assert api(f"/v1/jobs/{long}/logs") == b"begin\nend\n"
    finally:
        print(subprocess.run(["docker-compose", "logs", "--no-color", "--tail", "60"], cwd=clone, env=env, capture_output=True, text=True).stdout)
        subprocess.run(["docker-compose", "down", "-v", "-t", "40"], cwd=clone, env=env, capture_output=True)
        for container in docker("ps", "-aq", "--filter", f"name=berth-{long if 'long' in dir() else 'none'}", check=False).split():
            docker("rm", "-f", container, check=False)
        shutil.rmtree(state, ignore_errors=True)
        docker("rmi", "-f", "berth-test-berth", check=False)
