"""What is set up on the host is kept up, and goes when it is of no use any more. Needs control groups and nftables."""
import glob
import pathlib
import subprocess
import uuid

from support import docker, wait_until


def groups(berth, attempt=""):
    return [p for p in glob.glob(f"/sys/fs/cgroup/*/berth-{berth.instance}/{attempt}") if pathlib.Path(p).is_dir()]


def tables():
    listed = subprocess.run(["nft", "list", "tables", "inet"], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1] for line in listed.splitlines() if line.split()[-1].startswith("berth_")}


def test_networks_and_groups_of_no_live_attempt_are_removed(new_berth):
    berth = new_berth(BERTH_REAP_INTERVAL="1s")
    job = berth.script("echo up; sleep 600", network="private")
    wait_until(lambda: berth.output(job) == b"up\n", "a live job is there")
    dead = str(uuid.uuid4())
    labels = [f"--label=io.berth.{k}={v}" for k, v in {
        "managed": "true", "cluster": berth.cluster(), "instance": berth.instance, "job": dead, "attempt": "1", "token": "1",
        "role": "private"}.items()]
    volume = [f"--label=io.berth.{k}={v}" for k, v in {
        "managed": "true", "cluster": berth.cluster(), "instance": berth.instance, "role": "volume"}.items()]
    network = docker("network", "create", *labels, f"berth-{dead}-1")
    docker("volume", "create", *volume, f"berth-test-{dead}")
    made = [pathlib.Path(p) / f"{dead}.1" for p in groups(berth)]
    assert made, "the instance has its group"
    for path in made:
        path.mkdir()
    wait_until(lambda: not groups(berth, f"{dead}.1"), "the group is gone")
    wait_until(lambda: not docker("network", "ls", "-q", "--no-trunc", "--filter", f"id={network}"), "the network is gone")
    removed = lambda: {(line["kind"], line["name"]) for line in berth.log_lines() if line.get("msg") == "orphan removed"}
    wait_until(lambda: {("network", f"berth-{dead}-1"), ("cgroup", f"/berth-{berth.instance}/{dead}.1")} <= removed(),
               lambda: f"both are told: {removed()}")
    assert groups(berth, f"{job}.1"), "the live one's group stays"
    assert docker("network", "ls", "-q", "--filter", f"name=berth-{job}-1"), "the live one's network stays"
    assert docker("volume", "ls", "-q", "--filter", f"name=berth-test-{dead}"), "a tenant's volume stays"
    docker("volume", "rm", f"berth-test-{dead}")
    berth.cancel(job, force=True)
    berth.wait(job)
    wait_until(lambda: not groups(berth, f"{job}.1"), "its own group is gone with the job")
    berth.stop()
    assert groups(berth), "the instance's group is left to the next berthd"


def test_rules_that_were_flushed_are_set_anew(new_berth):
    berth = new_berth(BERTH_REAP_INTERVAL="1s")
    network = berth.run("true", network="egress") and docker(
        "network", "ls", "-q", "--filter", f"label=io.berth.instance={berth.instance}", "--filter", "label=io.berth.role=network")
    bridge = docker("network", "inspect", "-f", '{{index .Options "com.docker.network.bridge.name"}}', network)
    table = "berth_" + bridge[4:8]
    assert table in tables(), "the rules are there from the start"
    subprocess.run(["nft", "delete", "table", "inet", table], check=True)
    wait_until(lambda: table in tables(), "the rules are there again")
    wait_until(lambda: any("are set anew" in line.get("msg", "") for line in berth.log_lines()), "and that is said")
    subprocess.run(["nft", "delete", "table", "inet", table], check=False)


def test_what_runs_far_behind_its_deadline_is_killed(new_berth):
    berth = new_berth(BERTH_REAP_INTERVAL="1s")
    job = berth.script("trap '' TERM; echo up; sleep 600")
    # The deadline is stored with the start, which may come behind the first output.
    wait_until(lambda: berth.output(job) == b"up\n" and berth.job(job)["status"] == "running", "it runs")
    berth.sql(f"update berth.attempts set deadline_at = now() - interval '1 day' where job_id = '{job}'")
    wait_until(lambda: [line for line in berth.log_lines() if line.get("kind") == "overdue" and job in line.get("name", "")] or
               berth.job(job)["status"] not in ("running", "canceling"), "it is killed")
    assert berth.wait(job)["status"] not in ("succeeded", "running")
