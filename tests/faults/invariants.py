"""What must be true after any fault (I1 to I5): asked of the database, the API, the engine, the host, and the jobs themselves."""
import collections
import dataclasses
import glob
import hashlib
import os
import secrets
import uuid

from support import IMAGE, TERMINAL, docker, message_bytes, told, wait_until

# The first thing that a job does: one line for each attempt that was truly started. One write in append mode.
LEDGER = 'echo "$BERTH_JOB_ID $BERTH_ATTEMPT" >>/host/ledger\n'


@dataclasses.dataclass
class Expected:
    """How a job that was accepted has to end."""
    status: str
    reason: str
    exit_code: int = None
    output: list = dataclasses.field(default_factory=lambda: [{}])  # {stream: bytes} of each attempt that is started


class Strangers:
    """Things on the engine that are not ours, however much they look like it; they are to stay as they are."""

    def __init__(self, instance):
        mark = secrets.token_hex(4)
        labels = [f"--label=io.berth.{k}={v}" for k, v in {"managed": "true", "cluster": uuid.uuid4(), "instance": instance, "job": uuid.uuid4(),
                                                            "attempt": 1, "token": 1, "role": "main"}.items()]
        self.containers = [docker("run", "-d", "--network=none", f"--name=berth-{uuid.uuid4()}-1-main", IMAGE, "sleep", "3600"),
                           docker("create", "--network=none", *labels, f"--name=other-{mark}", IMAGE, "true")]
        self.network = docker("network", "create", f"berth-{mark}")
        self.before = self.look()

    def look(self):
        show = "{{.Id}} {{.State.Status}} {{.State.StartedAt}} {{.State.Pid}}"
        return docker("inspect", "--format", show, *self.containers), docker("network", "inspect", "--format", "{{.Id}}", self.network)

    def destroy(self):
        docker("rm", "-f", *self.containers, check=False)
        docker("network", "rm", self.network, check=False)


def check(berth, expected, strangers=()):
    """expected: {job id: Expected} of all jobs that this berth has accepted."""
    wait_until(lambda: not leftovers(berth), lambda: f"nothing is left over: {leftovers(berth)}\n{berth.log()[-3000:]}", every=0.2)
    assert set(berth.sql("select id from berth.jobs").split()) == set(expected), "all jobs that were accepted, and no others"
    for job, how in expected.items():
        check_end(berth, job, how)
        for number, streams in enumerate(how.output, 1):
            check_log(berth, job, number, streams)
    check_ledger(berth, expected)
    for stranger in strangers:
        assert stranger.look() == stranger.before, "what is not ours was touched"


def check_end(berth, job, how):
    view = berth.job(job)
    assert (view["status"], view["reason"], view["exit_code"]) == (how.status, how.reason, how.exit_code), told(view)
    events = berth.sql(f"select status from berth.events where job_id = '{job}' order by id").split()
    assert [s for s in events if s in TERMINAL] == [how.status] == events[-1:], f"{job} ends once: {events}"
    ended = berth.sql(f"select count(*) from berth.attempts where job_id = '{job}' and finished_at is not null and status is not null")
    assert int(ended) == view["attempt"], f"every attempt of {job} has ended"
    assert berth.sql(f"select count(distinct token) from berth.attempts where job_id = '{job}'") == ended, "each with a token of its own"
    if how.output:
        assert view["log"]["complete"] and not view["log"]["truncated"], view["log"]


def check_log(berth, job, number, streams):
    offset, stored, whole = 0, collections.defaultdict(bytes), b""
    for message in berth.messages(job, f"?attempt={number}"):
        if message["type"] != "log":
            assert message["type"] not in ("gap",), f"{job}.{number}: {message}"
            continue
        assert message["offset"] == offset, f"{job}.{number}: {message} at {offset}"
        text = message_bytes(message)
        offset += len(text)
        whole += text
        stored[message["stream"]] += text
    found = {name: text for name, text in stored.items() if name != "system"}
    assert found == streams, f"{job}.{number}: stored {summary(found)}, written {summary(streams)}"
    if number == berth.job(job)["attempt"]:
        log = berth.job(job)["log"]
        assert (log["bytes"], log["stored_bytes"]) == (len(whole), len(whole)), log
        assert log["sha256"] == hashlib.sha256(whole).hexdigest()


def summary(streams):
    return {name: (len(text), text[:200], text[-100:]) for name, text in streams.items()}


def check_ledger(berth, expected):
    path = berth.bound / "ledger"
    lines = collections.Counter(path.read_text().splitlines()) if path.exists() else collections.Counter()
    assert not [line for line, times in lines.items() if times != 1], f"started more than once: {lines}"
    started = {f"{job} {number}" for job, how in expected.items() for number in range(1, len(how.output) + 1)}
    assert set(lines) == started, f"ledger without {started - set(lines)}, with {set(lines) - started}"
    rows = berth.sql("select job_id || ' ' || number from berth.attempts where started_at is not null").splitlines()
    assert set(rows) == started, f"started, says the database: {set(rows) ^ started}"


def containers(berth):
    """Names of the containers of our cluster."""
    return berth.docker("ps", "-a", "--filter", f"label=io.berth.cluster={berth.cluster()}", "--format", "{{.Names}}").split()


def leftovers(berth):
    """Whatever of ours is there when no job is: containers, networks of jobs, control groups, attempts' directories, probes' files."""
    networks = berth.docker("network", "ls", "--filter", f"label=io.berth.cluster={berth.cluster()}", "--filter", "label=io.berth.job", "--format", "{{.Name}}").split()
    groups = [g for g in glob.glob(f"/sys/fs/cgroup/**/berth-{berth.instance}/*", recursive=True) if os.path.isdir(g)]
    return containers(berth) + networks + groups + os.listdir(berth.state / "attempts") + glob.glob(f"{berth.state}/probe/*")
