"""Berth builds Berth: real input, and the same bytes on every way out."""
import asyncio
import hashlib
import json
import re
import subprocess

import pytest
import websockets

from support import ROOT, docker, message_bytes, wait_until

BASE = "debian:bookworm-slim"


@pytest.fixture(scope="module")
def toolchain():
    """An image with the build tools and this tree in it, made as the Dockerfile makes its first stage."""
    subprocess.run(["bash", "-c", f". {ROOT}/deploy/lib.sh; make_debian_image {BASE}"], check=True)
    subprocess.run(["docker", "build", "-q", "--target", "toolchain", "-t", "berth-test-toolchain", str(ROOT)],
                   check=True, capture_output=True, env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "DOCKER_BUILDKIT": "0", "HOME": "/tmp"})
    dockerfile = ("FROM berth-test-toolchain\n"
                  "COPY . /src\n")
    context = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=True).stdout
    tar = subprocess.run(["tar", "-C", str(ROOT), "--null", "--ignore-failed-read", "-T", "-", "-c", "--transform", "s,^,./,"],
                         input=context, capture_output=True).stdout
    import io
    import tarfile
    bundle = io.BytesIO()
    with tarfile.open(fileobj=bundle, mode="w") as out:
        with tarfile.open(fileobj=io.BytesIO(tar)) as src:
            for member in src:
                if member.name.lstrip("./") not in ("Dockerfile", ".dockerignore"):
                    out.addfile(member, src.extractfile(member) if member.isfile() else None)
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(dockerfile)
        out.addfile(info, io.BytesIO(dockerfile.encode()))
    done = subprocess.run(["docker", "build", "-q", "-t", "berth-test-self", "-"], input=bundle.getvalue(), capture_output=True,
                          env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "DOCKER_BUILDKIT": "0", "HOME": "/tmp"})
    assert done.returncode == 0, done.stderr
    yield "berth-test-self"
    docker("rmi", "-f", "berth-test-self", check=False)


def test_berth_builds_berth(berth, toolchain):
    job = berth.submit(image=toolchain, workdir="/src", limits={"cpus": 1, "memory": "2g", "pids": 512},
                       deadlines={"run": "30m"},
                       script="cmake --preset dev -DBERTH_TESTS=OFF && cmake --build --preset dev && build/dev/orchestrator/berthd --version")

    async def viewer():
        url = berth.url.replace("http", "ws") + f"/v1/jobs/{job}/stream"
        async with websockets.connect(url, subprotocols=["berth.v1"], max_size=None,
                                      extra_headers={"Authorization": f"Bearer {berth.token}"}) as ws:
            return [json.loads(m) async for m in ws]
    messages = asyncio.run(viewer())
    view = berth.wait(job)
    seen = b"".join(message_bytes(m) for m in messages if m["type"] == "log")
    fetched = berth.output(job)
    assert (view["status"], view["exit_code"]) == ("succeeded", 0), fetched[-3000:].decode()
    stored = berth.sql(f"""select encode(sha256(string_agg(c.bytes, ''::bytea order by c.log_offset)), 'hex')
                           from berth.log_chunks c join berth.attempts a on a.id = c.attempt_id where a.job_id = '{job}'""")
    digest = hashlib.sha256(seen).hexdigest()
    assert digest == hashlib.sha256(fetched).hexdigest() == stored == view["log"]["sha256"]
    assert seen.count(b"Building C object") > 150 and re.search(rb"^berthd \d+\.\d+\.\d+", seen.splitlines()[-1])
