"""Orphans go, everything else stays."""
import secrets
import uuid

from support import IMAGE, docker, wait_until


def test_planted_orphans_are_gone_and_strangers_are_not(new_berth):
    berth = new_berth()
    job = berth.script("echo up; sleep 600")
    wait_until(lambda: berth.output(job) == b"up\n", "a live job is there")
    unknown = str(uuid.uuid4())
    labels = [f"--label=io.berth.{k}={v}" for k, v in {
        "managed": "true", "cluster": berth.cluster(), "instance": berth.instance, "job": unknown, "attempt": "1",
        "token": "1", "role": "main"}.items()]
    suffix = secrets.token_hex(4)
    strange = f"berth-{unknown}-2-main"
    try:
        running = docker("run", "-d", "--network=none", *labels, f"--name=berth-{unknown}-1-main", IMAGE, "sleep", "600")
        stopped = docker("create", "--network=none", *labels, f"--name=planted-{suffix}", IMAGE, "true")
        network = docker("network", "create", *labels, f"planted-{suffix}")
        docker("run", "-d", "--network=none", f"--name={strange}", IMAGE, "sleep", "600")
        docker("network", "create", f"berth-{suffix}")
        docker("create", f"--name=other-{suffix}", "--label=io.berth.managed=true", f"--label=io.berth.cluster={uuid.uuid4()}",
               f"--label=io.berth.instance={berth.instance}", "--label=io.berth.job=" + unknown, IMAGE, "true")
        gone = lambda kind, name: not docker(kind, "ls", "-aq" if kind == "container" else "-q", "--no-trunc", "--filter", f"id={name}")
        wait_until(lambda: gone("container", running) and gone("container", stopped) and gone("network", network),
                   "the orphans are gone", seconds=30)
        assert docker("inspect", "--format", "{{.State.Running}}", strange) == "true", "without labels: not ours"
        assert docker("network", "ls", "-q", "--filter", f"name=^berth-{suffix}$")
        assert docker("ps", "-aq", "--filter", f"name=other-{suffix}"), "of another cluster: not ours"
        assert berth.job(job)["status"] == "running"
    finally:
        for name in (strange, f"other-{suffix}", f"planted-{suffix}", f"berth-{unknown}-1-main"):
            docker("rm", "-f", name, check=False)
        docker("network", "rm", f"berth-{suffix}", check=False)
        docker("network", "rm", f"planted-{suffix}", check=False)
        berth.cancel(job, force=True)
        berth.wait(job)
