"""The reaper as reconciliation: orphans of every kind go, whatever dies meanwhile; nothing alive and nothing foreign does."""
import os
import signal
import uuid

import pytest

from holding import Holding
from orphans import Field, reap
from support import docker, told, wait_until

DEAD, LIVING = "dead-one", "living-one"
STDOUT = "?stream=stdout"


@pytest.fixture
def field_of(dice):
    fields = []

    def make(berth):
        fields.append(Field(berth, dice))
        return fields[-1]

    yield make
    for field in fields:
        field.destroy()


def put_orchestrator(berth, name, heard_of_ago):
    berth.sql("insert into berth.orchestrators (name, state_id, version, slots, heartbeat_at, lease) values "
              f"('{name}', '{uuid.uuid4()}', 'test', 1, now() - interval '{heard_of_ago}', interval '15 s')")


def plant_orphans(field):
    """A hundred, of every kind."""
    cluster = field.berth.cluster()
    ours, theirs = lambda **more: field.labels(cluster, **more), lambda **more: field.labels(cluster, DEAD, **more)
    for i in range(14):
        field.plant("container", field.container(ours(role=["main", "service"][i % 2]), runs=True))
    for i in range(18):
        field.plant("container", field.container(ours()))
    for labels in (ours(job="no uuid"), ours(attempt="x"), ours(job="", attempt="", role="")):
        field.plant("container", field.container(labels))
    for i in range(8):
        field.plant("network", field.network(ours(role="private")))
    for i in range(12):
        field.plant("volume", field.volume(ours(role=None)))
    for i in range(3):
        field.plant("volume", field.volume(ours(role=None, attempt=None)))
    for i in range(5):
        field.plant("container", field.container(theirs(), runs=i == 0))
    field.plant("network", field.network(theirs(role="private")))
    field.plant("volume", field.volume(theirs(role=None)))
    for i in range(8):
        field.plant("cgroup", field.group())
    for i in range(10):
        field.plant_file("directory", field.directory([".", ".removed-"][i % 2]))
    for i in range(6):
        field.plant_file("lock", field.file(f"locks/pull-{field.hex(16)}"))
    for i in range(6):
        field.plant_file("init", field.file(f"bin/berth-init-{field.hex(12)}"))
    for i in range(5):
        field.plant_file("probe", field.file(f"probe/{field.hex(32)}.{['asked', 'answered'][i % 2]}"))
    assert len(field.orphans) == 100


def plant_strangers(field):
    """What looks much the same and is not to be touched."""
    berth, cluster = field.berth, field.berth.cluster()
    job = str(uuid.uuid4())
    kept = [[], field.labels(str(uuid.uuid4())), field.labels(cluster, LIVING), field.labels(cluster, "never-heard-of"),
            [f"--label=io.berth.cluster={cluster}", f"--label=io.berth.instance={berth.instance}", f"--label=io.berth.job={job}"]]
    for labels in kept:
        field.container(labels, runs=labels == kept[0])
        field.network(labels)
        field.volume(labels)
    for instance in (None, DEAD, LIVING):
        field.volume(field.labels(cluster, instance, role="volume", job=False, attempt=None))
    field.volume(field.labels(cluster, role=None, job=False, attempt=None))
    field.directory(".", seconds=60)
    field.file("attempts/.notes"), field.file("locks/mine"), field.file("bin/mine"), field.file("probe/mine")
    field.file(f"locks/pull-{field.hex(16)}", seconds=60)
    field.hold(field.file(f"locks/pull-{field.hex(16)}"))
    used = field.file(f"bin/berth-init-{field.hex(12)}")
    field.container(field.labels(cluster, LIVING), options=["-v", f"{used}:/.berth/init:ro"])
    field.file(f"bin/berth-init-{field.hex(12)}", seconds=60)
    [copy] = [p for p in (berth.state / "bin").iterdir() if p.name == (berth.state / "init").read_text().strip()]
    os.utime(copy, (0, 0))
    field.files.append(copy)


def begin_jobs(berth):
    """Ten that run: with networks of their own, a service, a tenant's volume."""
    more = [{}, {"network": "private"}, {"mounts": [{"type": "volume", "source": "cache", "target": "/cache"}]}, {"network": "none"},
            {"services": [{"name": "side", "image": os.environ.get("BERTH_TEST_IMAGE", "berth-test-busybox"), "command": ["sleep", "600"]}]}]
    jobs = [berth.script(f"echo up; while [ ! -e /go ]; do sleep 0.2; done; echo {n}; exit {n}", **more[n % len(more)]) for n in range(10)]
    wait_until(lambda: all(berth.output(job, STDOUT) == b"up\n" for job in jobs), "all ten run")
    return jobs


def end_jobs(berth, jobs):
    for n, job in enumerate(jobs):
        docker("exec", f"berth-{job}-1-main", "touch", "/go")
    for n, job in enumerate(jobs):
        view = berth.wait(job)
        assert (view["exit_code"], view["attempt"], view["log"]["complete"]) == (n, 1, True), told(view)
        assert berth.output(job, STDOUT) == b"up\n%d\n" % n


def removed(berth):
    return [line for line in berth.log_lines() if line["msg"] == "orphan removed"]


def sweep_anew(berth):
    """kill -9 of the reaper: the next one begins at once."""
    [reaper] = wait_until(lambda: berth.children().get("reaper"), "there is a reaper")
    os.kill(reaper, signal.SIGKILL)
    wait_until(lambda: berth.children().get("reaper", [reaper]) != [reaper], "another reaper is started")


@pytest.mark.fault("kill -9 of the reaper amid a hundred orphans", how="planted containers, networks, volumes, control groups and files among ten live jobs; BERTH_FAULT kills each reaper behind its 30th removal",
                   holds="all orphans gone; jobs true; strangers untouched; the dry run had listed exactly these")
def test_a_hundred_orphans_go_though_the_reaper_is_killed(new_berth, field_of):
    # Its first sweep, at the start, is over.
    berth = new_berth(BERTH_SLOTS="10", BERTH_REAP_INTERVAL="1d", BERTH_FAULT="reaper.removed:30")
    put_orchestrator(berth, DEAD, "2 days")
    put_orchestrator(berth, LIVING, "5 s")
    field = field_of(berth)
    jobs = begin_jobs(berth)
    plant_strangers(field)
    plant_orphans(field)
    wait_until(lambda: reap(berth, "--dry-run")[0] == field.orphans, lambda: reap(berth, "--dry-run")[0] ^ field.orphans, seconds=30)
    assert reap(berth, "--dry-run")[1] == "100 would be removed"
    assert field.is_left() == field.orphans, "a dry run removes nothing"
    sweep_anew(berth)
    wait_until(lambda: not field.is_left(), lambda: f"all orphans are gone but {field.is_left()}\n{berth.log()[-2000:]}")
    assert len(berth.obituaries("reaper")) == 4, "three were killed in the middle"
    assert not field.strangers_gone()
    assert all(berth.job(job)["status"] == "running" for job in jobs)
    assert reap(berth, "--dry-run") == (set(), "0 would be removed")
    end_jobs(berth, jobs)


@pytest.mark.fault("a start storm under a prune every 100 ms", how="jobs of all network classes, BERTH_REAP_INTERVAL=100ms",
                   holds="every job ends true in its first attempt; nothing is called an orphan")
def test_a_start_storm_under_a_prune_every_100_ms(new_berth, long):
    count = 400 if long else 48
    berth = new_berth(BERTH_SLOTS="8", BERTH_REAP_INTERVAL="100ms")
    more = [{"network": "none"}, {"network": "egress"}, {"network": "private"}, {"network": "none", "mounts": [{"type": "tmpfs", "target": "/x"}]}]
    jobs = [berth.script(f"echo {n}; exit {n % 3}", **more[n % len(more)]) for n in range(count)]
    for n, job in enumerate(jobs):
        view = berth.wait(job)
        assert (view["status"], view["exit_code"], view["attempt"]) == ("failed" if n % 3 else "succeeded", n % 3, 1), told(view)
        assert view["log"]["complete"] and berth.output(job) == b"%d\n" % n
    assert not removed(berth), "nothing alive was taken for an orphan"


def reap_held(berth, **when):
    """A sweep that is held up where it lists the containers."""
    engine = Holding("/containers/json", **when)
    try:
        return reap(berth, DOCKER_HOST=engine.host)
    finally:
        engine.close()


@pytest.mark.fault("a job begins while the reaper waits for the engine", how="a socket that holds the request back",
                   holds="nothing is removed")
def test_what_begins_while_the_engine_is_asked_stays(new_berth):
    berth = new_berth(BERTH_REAP_INTERVAL="1d")
    jobs = []

    def begin():
        jobs.append(berth.script("echo up; while [ ! -e /go ]; do sleep 0.1; done; exit 7", network="private"))
        wait_until(lambda: berth.output(jobs[0]) == b"up\n", "it runs")

    assert reap_held(berth, before=begin) == (set(), "0 orphans found"), "on the engine's list, and its directory was not there before"
    docker("exec", f"berth-{jobs[0]}-1-main", "touch", "/go")
    view = berth.wait(jobs[0])
    assert (view["status"], view["exit_code"], view["attempt"]) == ("failed", 7, 1), told(view)


@pytest.mark.fault("a job ends while the reaper waits for the engine", how="a socket that holds the answer back",
                   holds="nothing is called an orphan")
def test_what_ends_while_the_engine_is_asked_is_no_orphan(new_berth):
    berth = new_berth(BERTH_REAP_INTERVAL="1d")
    job = berth.script("echo up; sleep 600", network="private")
    wait_until(lambda: berth.output(job) == b"up\n", "it runs")

    def end():
        berth.cancel(job, force=True)
        berth.wait(job)
        wait_until(lambda: not list((berth.state / "attempts").iterdir()), "its directory is gone")

    assert reap_held(berth, after=end) == (set(), "0 orphans found"), "it was cleaned up by its runner"


@pytest.mark.fault("the reaper cannot see one side", how="database, engine or directory away; a database of another cluster",
                   holds="nothing is removed, and it says why")
def test_nothing_is_removed_unless_both_sides_answer(new_berth, field_of):
    berth = new_berth(BERTH_REAP_INTERVAL="1d")
    field = field_of(berth)
    field.plant("container", field.container(field.labels()))
    field.plant("volume", field.volume(field.labels(role=None)))
    field.plant_file("directory", field.directory("."))
    wait_until(lambda: reap(berth, "--dry-run")[0] == field.orphans, "all are found")
    for what, settings in {"database": {"BERTH_DATABASE_URL": "host=/nowhere dbname=berth"}, "engine": {"DOCKER_HOST": "unix:///nowhere.sock"},
                           "directory": {"BERTH_STATE_DIR": "/tmp"}}.items():
        with pytest.raises(AssertionError, match="nothing was removed"):
            reap(berth, **settings)
        assert field.is_left() == field.orphans, f"without its {what}"
    cluster = berth.cluster()
    berth.sql("update berth.cluster set id = gen_random_uuid()")  # as after a database was made anew
    sweep_anew(berth)
    wait_until(lambda: any("of cluster" in line.get("error", "") for line in berth.log_lines() if line["msg"].startswith("cannot see both")),
               "the next reaper sees that the database is another one")
    assert field.is_left() == field.orphans
    berth.sql(f"update berth.cluster set id = '{cluster}'")
    assert reap(berth)[0] == field.orphans
    assert not field.is_left()
