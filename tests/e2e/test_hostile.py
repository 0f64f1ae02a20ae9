"""What a spec must never get, told before the engine is asked, whichever way it comes in."""
import json
import os
import pathlib

import pytest

from support import IMAGE, HttpError, docker, told

SERVICE = {"name": "db", "image": IMAGE}


def service(**more):
    return {"services": [{**SERVICE, **more}]}


def mount(source, target="/mnt", kind="bind", **more):
    return {"mounts": [{"type": kind, "source": source, "target": target, **more}]}


# pointer of the fault -> the wish
WISHES = [
    ("/mounts/0/source", mount("/")),
    ("/mounts/0/source", mount("/etc")),
    ("/mounts/0/source", mount("{root}/../etc")),
    ("/mounts/0/source", mount("{root}x")),
    ("/mounts/0/source", mount("/{root}")),
    ("/mounts/0/source", mount("/var/run/docker.sock")),
    ("/mounts/0/source", mount("{root}/.")),
    ("/mounts/0/source", mount("relative")),
    ("/mounts/0/source", mount("../up", kind="volume")),
    ("/mounts/0/source", mount("/etc", kind="volume")),
    ("/mounts/0/source", mount("a/b", kind="volume")),
    ("/mounts/0/target", mount("{root}", target="/")),
    ("/mounts/0/target", mount("{root}", target="/.berth")),
    ("/mounts/0/target", mount("{root}", target="/proc/sys")),
    ("/mounts/0/target", mount("{root}", target="/a/../proc")),
    ("/mounts/0/type", mount("{root}", kind="npipe")),
    ("/mounts/0/propagation", mount("{root}", propagation="rshared")),
    ("/privileged", {"privileged": True}),
    ("/hardening/privileged", {"hardening": {"privileged": True}}),
    ("/services/0/privileged", service(privileged=True)),
    ("/services/0/hardening/privileged", service(hardening={"privileged": True})),
    ("/pid", {"pid": "host"}), ("/ipc", {"ipc": "host"}), ("/uts", {"uts": "host"}), ("/userns", {"userns": "host"}),
    ("/services/0/pid", service(pid="host")),
    ("/network", {"network": "host"}), ("/network", {"network": "container:abc"}), ("/network", {"network": "bridge"}),
    ("/devices", {"devices": ["/dev/sda"]}), ("/services/0/devices", service(devices=["/dev/kvm"])),
    ("/cgroup_parent", {"cgroup_parent": "/"}), ("/limits/cgroup_parent", {"limits": {"cgroup_parent": "/"}}),
    ("/sysctls", {"sysctls": {"kernel.shmmax": "1"}}), ("/security_opt", {"security_opt": ["seccomp=unconfined"]}),
    ("/hardening/security_opt", {"hardening": {"security_opt": ["apparmor=unconfined"]}}),
    ("/hardening/cap_add/0", {"hardening": {"cap_add": ["SYS_ADMIN"]}}), ("/hardening/cap_add/0", {"hardening": {"cap_add": ["ALL"]}}),
    ("/services/0/hardening/cap_add/0", service(hardening={"cap_add": ["NET_ADMIN"]})),
    ("/services/0/mounts", service(mounts=[{"type": "bind", "source": "/", "target": "/x"}])),
    ("/services/0/network", service(network="host")),
    ("/services/0/name", service(name="../x")), ("/services/0/name", service(name="main")), ("/services/0/name", service(name="a b")),
    ("/services/0/ready/http", service(ready={"http": "http://169.254.169.254:80/"})),
    ("/services/0/ready/log", service(ready={"log": "("})),
    ("/services/0/ready/tcp", service(ready={"tcp": 65536})),
    ("/limits/memory", {"limits": {"memory": -1}}), ("/limits/memory", {"limits": {"memory": "-1"}}),
    ("/limits/memory", {"limits": {"memory": "99999999999999999999g"}}), ("/limits/memory", {"limits": {"memory": 1e300}}),
    ("/limits/pids", {"limits": {"pids": 0}}), ("/limits/pids", {"limits": {"pids": 9223372036854775807}}),
    ("/limits/pids", {"limits": {"pids": 1.5}}), ("/limits/cpus", {"limits": {"cpus": -0.5}}), ("/limits/cpus", {"limits": {"cpus": 1e300}}),
    ("/services/0/limits/memory", service(limits={"memory": -5})),
    ("/deadlines/run", {"deadlines": {"run": "-1s"}}), ("/deadlines/run", {"deadlines": {"run": "99999999999999d"}}),
    ("/deadlines/idle", {"deadlines": {"idle": "-5s"}}), ("/retry/max", {"retry": {"max": -1}}), ("/retry/max", {"retry": {"max": 1 << 40}}),
    ("/retry/factor", {"retry": {"max": 1, "factor": 1e300}}), ("/retry/exit_codes/0", {"retry": {"max": 1, "exit_codes": [256]}}),
    ("/retry/on/0", {"retry": {"max": 1, "on": ["canceled"]}}), ("/concurrency/max", {"concurrency": {"key": "x", "max": 0}}),
    ("/priority", {"priority": 1 << 62}), ("/labels", {"labels": {f"k{i}": "v" for i in range(1000)}}),
    ("/labels/io.berth.job", {"labels": {"io.berth.job": "x"}}),
    ("/env", {"env": {f"K{i}": "v" for i in range(2000)}}),
    ("/services", {"services": [{"name": f"s{i}", "image": IMAGE} for i in range(100)]}),
    ("/image", {"image": "x" * 5000}), ("/user", {"user": "root; rm -rf /"}), ("/workdir", {"workdir": "/proc/1"}),
]


@pytest.fixture(scope="module")
def hostile(postgres, tmp_path_factory):
    from support import Berth
    root = tmp_path_factory.mktemp("binds")
    instance = Berth(postgres, BERTH_BIND_ROOTS=str(root))
    instance.root = root
    yield instance
    instance.destroy()


def filled(wish, root):
    return json.loads(json.dumps(wish).replace("{root}", str(root)))


def created_since(begin):
    return docker("events", "--since", str(begin), "--until", "0s", "--filter", "event=create", "--filter", "type=container", "--format", "{{.ID}}")


def test_every_wish_is_refused_with_its_place(hostile):
    wrong = []
    for pointer, wish in WISHES:
        try:
            job = hostile.submit("true", **filled(wish, hostile.root))
            wrong.append((pointer, wish, "accepted"))
            hostile.cancel(job, force=True)
        except HttpError as e:
            pointers = [fault["pointer"] for fault in e.problem.get("errors", [])]
            if e.status != 422 or not any(p == pointer or p.startswith(pointer + "/") for p in pointers):
                wrong.append((pointer, e.status, e.problem))
    assert wrong == []


def test_every_wish_is_refused_by_sql_too(hostile):
    jobs = {}
    for pointer, wish in WISHES:
        spec = {"image": IMAGE, "command": ["true"], **filled(wish, hostile.root)}
        jobs[hostile.sql("select berth.submit($berth$" + json.dumps(spec) + "$berth$::jsonb)")] = pointer
    for job, pointer in jobs.items():
        view = hostile.wait(job)
        assert (view["status"], view["reason"], view["started_at"]) == ("errored", "spec_refused", None), (pointer, view)
        # A number that no JSON reader takes has no place yet.
        assert pointer.split("/")[1] in view["message"] or "too large" in view["message"], (pointer, view["message"])
    assert hostile.run("echo unharmed")["status"] == "succeeded"
    # The engine has not heard of any of them.
    named = docker("ps", "-a", "--format", "{{.Names}}")
    assert not [job for job in jobs if job in named]


def test_a_megabyte_of_labels_is_too_much(hostile):
    with pytest.raises(HttpError) as error:
        hostile.submit("true", labels={f"k{i}": "v" * 1000 for i in range(1100)})
    assert error.value.status in (413, 422)
    with pytest.raises(HttpError) as error:
        hostile.submit("true", labels={f"k{i}": "v" * 1000 for i in range(900)})
    assert error.value.status == 422


def test_links_lead_nowhere_else(hostile):
    root = hostile.root
    (root / "data").mkdir()
    (root / "data" / "file").write_text("inside\n")
    (root / "near").symlink_to("data")
    (root / "far").symlink_to("/etc")
    (root / "up").symlink_to("../../../../../../etc")
    view = hostile.run("cat /mnt/file; echo more >/mnt/made", **mount(f"{root}/near"))
    assert view["status"] == "succeeded" and hostile.output(view["id"]) == b"inside\n", told(view)
    assert (root / "data" / "made").read_text() == "more\n"
    for name in ("far", "up", "far/ssl", "no-such-thing"):
        view = hostile.run("echo never", **mount(f"{root}/{name}"))
        assert (view["status"], view["reason"], view["started_at"]) == ("errored", "spec_refused", None), (name, view)
        assert f"{root}/{name}" in view["message"]
    view = hostile.run("touch /mnt/x", **mount(f"{root}/data", read_only=True))
    assert view["status"] == "failed" and not (root / "data" / "x").exists()


def test_a_link_that_is_swapped_all_the_time(hostile):
    """Another process moves a link between a good and a bad place: the job sees the good one or does not run."""
    import threading
    root = hostile.root
    (root / "good").mkdir()
    (root / "good" / "mark").write_text("good\n")
    over = threading.Event()

    def swap():
        at = 0
        while not over.is_set():
            place = [pathlib.Path("good"), pathlib.Path("/etc")][at % 2]
            (root / "new").unlink(missing_ok=True)
            (root / "new").symlink_to(place)
            os.rename(root / "new", root / "swapped")
            at += 1
    thread = threading.Thread(target=swap)
    thread.start()
    try:
        jobs = [hostile.script("cat /mnt/mark; [ -e /mnt/shadow ] && echo leaked; true", **mount(f"{root}/swapped")) for _ in range(8)]
        for job in jobs:
            view = hostile.wait(job)
            out = hostile.output(job, "?stream=stdout")
            assert (view["status"], out) in (("succeeded", b"good\n"), ("errored", b"")), (view, out)
    finally:
        over.set()
        thread.join()


def test_volumes_last_and_are_the_tenants(hostile):
    cache = mount("cache-npm", target="/cache", kind="volume")
    assert hostile.run("echo kept >/cache/file", **cache)["status"] == "succeeded"
    view = hostile.run("cat /cache/file", **cache)
    assert hostile.output(view["id"]) == b"kept\n"
    [name] = docker("volume", "ls", "--format", "{{.Name}}", "--filter", f"label=io.berth.instance={hostile.instance}").split()
    assert "default" in name and name.endswith("cache-npm")
    view = hostile.run("df -k /scratch | awk 'END { print $2 }'", mounts=[{"type": "tmpfs", "target": "/scratch", "size": "8m"}])
    assert hostile.output(view["id"]) == b"8192\n", told(view)
