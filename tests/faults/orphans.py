"""Things planted on the engine and in the state directory: orphans of every kind, and what must not be touched."""
import fcntl
import glob
import io
import os
import pathlib
import secrets
import subprocess
import tarfile
import uuid

from support import BUILD, IMAGE, docker

OLD_S = 2 * 3600  # beyond what the reaper lets lie


def age(path, seconds=OLD_S):
    now = path.lstat().st_mtime
    os.utime(path, (now - seconds, now - seconds), follow_symlinks=False)


class Field:
    """Plants, and knows what is still there. Everything bears names of its own and goes with destroy()."""

    def __init__(self, berth, dice):
        self.berth, self.dice = berth, dice
        self.mark = "planted-" + secrets.token_hex(4)
        self.containers, self.networks, self.volumes, self.files, self.open = [], [], [], [], []
        self.orphans = set()  # (kind, name) as `berthd reap` prints them
        self.count = 0

    def labels(self, cluster=None, instance=None, job=None, attempt=1, **more):
        job = str(uuid.UUID(int=self.dice.getrandbits(128), version=4)) if job is None else job
        pairs = {"managed": "true", "cluster": cluster or self.berth.cluster(), "instance": instance or self.berth.instance, "job": job,
                 "attempt": attempt, "token": 1, "role": "main", **more}
        return [f"--label=io.berth.{k}={v}" for k, v in pairs.items() if v not in (None, False)]

    def name(self):
        self.count += 1
        return f"{self.mark}-{self.count}"

    def container(self, labels, runs=False, options=()):
        name = self.name()
        self.containers.append(name)
        how = ["run", "-d"] if runs else ["create"]
        docker(*how, "--network=none", f"--name={name}", *labels, *options, IMAGE, "sleep", "600")
        return name

    def network(self, labels):
        name = self.name()
        self.networks.append(name)
        # The engine's own pool has room for 31 of all tests together.
        subnet = f"--subnet=10.{160 + secrets.randbelow(32)}.{secrets.randbelow(256)}.{16 * secrets.randbelow(16)}/28"
        docker("network", "create", subnet, *labels, name)
        return name

    def volume(self, labels):
        name = self.name()
        self.volumes.append(name)
        docker("volume", "create", *labels, name)
        return name

    def file(self, path, text="x", seconds=OLD_S):
        path = self.berth.state / path
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        age(path, seconds)
        self.files.append(path)
        return path

    def directory(self, prefix, seconds=OLD_S):
        name = f"{prefix}{uuid.UUID(int=self.dice.getrandbits(128), version=4)}.1"
        path = self.berth.state / "attempts" / name
        path.mkdir()
        (path / "spec").write_text("{}")
        age(path, seconds)
        self.files.append(path)
        return path

    def hex(self, digits):
        return f"{self.dice.getrandbits(4 * digits):0{digits}x}"

    def group(self):
        """A control group of an attempt that is gone, in every hierarchy that has one for the instance."""
        name = f"{uuid.UUID(int=self.dice.getrandbits(128), version=4)}.1"
        for parent in glob.glob(f"/sys/fs/cgroup/*/berth-{self.berth.instance}") + glob.glob(f"/sys/fs/cgroup/berth-{self.berth.instance}"):
            path = pathlib.Path(parent) / name
            path.mkdir()
            self.files.append(path)
        return f"/berth-{self.berth.instance}/{name}"

    def hold(self, path):
        """Keeps the lock of a file, as a runner does."""
        self.open.append(open(path))
        fcntl.flock(self.open[-1], fcntl.LOCK_EX)

    # -- what is to go

    def plant(self, kind, name):
        self.orphans.add((kind, str(name)))

    def plant_file(self, kind, path):
        self.plant(kind, path.relative_to(self.berth.state))

    def is_left(self):
        """Those of the orphans that are still there, as (kind, name)."""
        there = {"container": set(docker("ps", "-a", "--format", "{{.Names}}").split()),
                 "network": set(docker("network", "ls", "--format", "{{.Name}}").split()),
                 "volume": set(docker("volume", "ls", "-q").split())}
        left = set()
        for kind, name in self.orphans:
            if kind == "cgroup":
                here = glob.glob(f"/sys/fs/cgroup/*{name}") or glob.glob(f"/sys/fs/cgroup{name}")
            else:
                here = name in there[kind] if kind in there else os.path.lexists(self.berth.state / name)
            if here:
                left.add((kind, name))
        return left

    def strangers_gone(self):
        """Names of what was planted, is no orphan, and is missing."""
        orphans = {name for _, name in self.orphans}
        there = set(docker("ps", "-a", "--format", "{{.Names}}").split()) | set(docker("network", "ls", "--format", "{{.Name}}").split()) | set(
            docker("volume", "ls", "-q").split())
        mine = [n for n in self.containers + self.networks + self.volumes if n not in orphans]
        files = [f for f in self.files if str(f).startswith(str(self.berth.state)) and str(f.relative_to(self.berth.state)) not in orphans]
        return [n for n in mine if n not in there] + [str(f) for f in files if not os.path.lexists(f)]

    def destroy(self):
        for held in self.open:
            held.close()
        for chunk in (self.containers[i:i + 50] for i in range(0, len(self.containers), 50)):
            docker("rm", "-f", *chunk, check=False)
        for network in self.networks:
            docker("network", "rm", network, check=False)
        if self.volumes:
            docker("volume", "rm", *self.volumes, check=False)
        for path in self.files:
            if str(path).startswith("/sys/") and path.exists():
                path.rmdir()


def reap(berth, *options, **settings):
    """What `berthd reap` says: {(kind, name)}, and its last line."""
    done = subprocess.run([str(BUILD / "orchestrator" / "berthd"), "reap", *options], env={**berth.environment(), "BERTH_FAULT": "", **settings},
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    return {tuple(line.split(": ")[0].split(" ", 1)) for line in lines}, last


class Images:
    """Small images of our own in a registry of our own, to be pulled."""

    def __init__(self, registry):
        self.registry, self.mark, self.local, self.containers = registry, "berth-test-" + secrets.token_hex(4), [], []

    def push(self, name, kib=1024):
        """One that no other image shares its last layer with; its reference. It is not on the engine afterwards."""
        local = f"{self.mark}-{name}"
        container = docker("create", "--network=none", f"--name={local}", IMAGE, "true")
        try:
            subprocess.run(["docker", "cp", "-", f"{container}:/"], input=self.archive(kib), check=True, capture_output=True)
            docker("commit", container, local)
            reference = self.registry.push(f"{name}:1", local)
            docker("rmi", local)
        finally:
            docker("rm", "-f", container, check=False)
        return reference

    def archive(self, kib):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            entry = tarfile.TarInfo("payload")
            entry.size = kib * 1024
            tar.addfile(entry, io.BytesIO(os.urandom(entry.size)))
        return out.getvalue()

    def tag(self, reference):
        """A name that Berth has not given it."""
        self.local.append(f"{self.mark}-kept")
        docker("tag", reference, self.local[-1])

    def container(self, reference):
        """One that was made by hand, without any label."""
        self.containers.append(f"{self.mark}-by-hand")
        docker("create", "--network=none", f"--name={self.containers[-1]}", reference, "true")

    def remove_containers(self):
        while self.containers:
            docker("rm", "-f", self.containers.pop(), check=False)

    def there(self, *references):
        return [r for r in references if docker("image", "inspect", "--format", "{{.Id}}", r, check=False)]

    def destroy(self):
        self.remove_containers()
        for name in self.local:
            docker("rmi", name, check=False)
