"""What a job writes is what is stored; how it ended is how it is told."""
import hashlib
import json
import random
import subprocess

import pytest

from support import IMAGE, docker, message_bytes, told


def test_fifty_megabytes_of_random_bytes_come_back_identical(berth):
    # The job makes them itself, from a seed, so that the test knows what to expect: AES-CTR is not in busybox, so
    # /dev/urandom is copied to stdout and hashed on the way by tee and a FIFO.
    view = berth.run("mkfifo /tmp/f; sha256sum </tmp/f >/tmp/sum & "
                     "head -c 52428799 /dev/urandom | tee /tmp/f; printf '\\377'; wait; cut -c1-64 /tmp/sum >&2",
                     limits={"log": "64m", "memory": "256m"})
    assert view["status"] == "succeeded", told(view)
    out = berth.output(view["id"], "?stream=stdout")
    expected = berth.output(view["id"], "?stream=stderr").decode().strip()
    assert len(out) == 52428800 and out[-1:] == b"\xff"
    assert hashlib.sha256(out[:-1]).hexdigest() == expected
    whole = berth.output(view["id"])
    assert hashlib.sha256(whole).hexdigest() == view["log"]["sha256"]
    assert view["log"] == {"bytes": len(whole), "stored_bytes": len(whole), "complete": True, "truncated": False,
                           "sha256": view["log"]["sha256"]}


def test_nul_invalid_utf8_and_no_newline_at_the_end(berth):
    view = berth.run(r"printf 'a\000b\377\376c'")
    assert berth.output(view["id"]) == b"a\0b\xff\xfec"
    logs = [m for m in berth.messages(view["id"]) if m["type"] == "log"]
    assert b"".join(map(message_bytes, logs)) == b"a\0b\xff\xfec"


def test_a_character_is_never_split_between_messages(berth):
    # The writer cuts every character in two, with a pause in between that a reader cannot miss.
    view = berth.run(r"""for i in 1 2 3 4 5 6 7 8; do printf '\342'; sleep 0.05; printf '\202'; sleep 0.02; printf '\254'; done;
                         awk 'BEGIN { for (i = 0; i < 200000; i++) printf "€" }'""")
    logs = [m for m in berth.messages(view["id"]) if m["type"] == "log"]
    assert all("text" in m for m in logs), "every message is whole characters"
    assert "".join(m["text"] for m in logs) == "€" * 200008
    expected = 0
    for m in logs:
        assert m["offset"] == expected
        expected += len(m["text"].encode())


def test_streams_are_told_apart_and_keep_their_order(berth):
    view = berth.run("i=0; while [ $i -lt 500 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done")
    logs = [m for m in berth.messages(view["id"]) if m["type"] == "log"]
    lines = [(m["stream"], line) for m in logs for line in m["text"].splitlines()]
    assert lines == [(s, f"{s[3:]} {i}") for i in range(500) for s in ("stdout", "stderr")]
    assert berth.output(view["id"], "?stream=stderr") == b"".join(b"err %d\n" % i for i in range(500))


@pytest.mark.parametrize("script, status, reason, exit_code, sig", [
    ("exit 0", "succeeded", "completed", 0, None),
    ("exit 7", "failed", "exit_code", 7, None),
    ("exit 137", "failed", "exit_code", 137, None),
    ("kill -9 $$", "failed", "signal", None, 9),
    ("kill -TERM $$", "failed", "signal", None, 15),
    ("exit 127", "failed", "exit_code", 127, None),
])
def test_ends_are_told_apart(berth, script, status, reason, exit_code, sig):
    view = berth.run(script)
    assert (view["status"], view["reason"], view["exit_code"], view["signal"]) == (status, reason, exit_code, sig), told(view)
    if status == "failed":
        assert view["message"]


@pytest.mark.parametrize("command, reason, exit_code", [
    ("/no/such/program", "command_not_found", 127),
    ("no-such-program", "command_not_found", 127),
    ("/etc/passwd", "command_not_executable", 126),
])
def test_what_cannot_be_executed(berth, command, reason, exit_code):
    view = berth.wait(berth.submit(command))
    assert (view["status"], view["reason"], view["exit_code"]) == ("failed", reason, exit_code), told(view)
    assert command in view["message"]


def test_a_background_process_that_holds_stdout_does_not_hold_the_job(berth):
    view = berth.run("sleep 3600 & echo gone on")
    assert (view["status"], berth.output(view["id"])) == ("succeeded", b"gone on\n")
    view = berth.run("(while :; do echo flood; done) & echo first >&2; exit 3", limits={"log": "4m"})
    assert (view["status"], view["exit_code"]) == ("failed", 3)


def test_last_bytes_before_the_end_are_stored(berth):
    view = berth.run("head -c 1000000 /dev/zero | tr '\\0' x; printf END")
    assert berth.output(view["id"]) == b"x" * 1000000 + b"END"


def test_input_and_environment(berth):
    view = berth.run('cat; echo "$CI $BERTH $BERTH_JOB_ID $BERTH_ATTEMPT $BERTH_JOB_NAME $A"; pwd; id -u',
                     name="with input", input={"any": ["json", 1, None]}, env={"A": "b c"}, workdir="/tmp", user="1000:1000")
    lines = berth.output(view["id"]).decode().split("\n")
    assert json.loads(lines[0]) == {"any": ["json", 1, None]}
    assert lines[1:4] == [f"true 1 {view['id']} 1 with input b c", "/tmp", "1000"]


def test_inspect_shows_nothing_of_the_job(berth):
    word = "word%d" % random.getrandbits(40)
    job = berth.script(f"echo {word} started; read x; sleep 600", env={"TOKEN": word}, input=word)
    try:
        wait = lambda: berth.output(job)
        from support import wait_until
        wait_until(wait, "first line")
        [name] = berth.on_engine()
        assert name == f"berth-{job}-1-main"
        assert word not in docker("inspect", name)
        labels = json.loads(docker("inspect", "--format", "{{json .Config.Labels}}", name))
        assert {k: v for k, v in labels.items() if k != "io.berth.token"} == {
            "io.berth.managed": "true", "io.berth.cluster": berth.cluster(), "io.berth.instance": berth.instance,
            "io.berth.job": job, "io.berth.attempt": "1", "io.berth.role": "main"}
        assert labels["io.berth.token"]
        assert docker("inspect", "--format", "{{.HostConfig.LogConfig.Type}}", name) == "none"
    finally:
        berth.cancel(job, force=True)
        berth.wait(job)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Images of the awkward kinds, all from busybox."""
    made = {}
    empty = tmp_path_factory.mktemp("scratch")
    (empty / "busybox").write_bytes(open("/bin/busybox", "rb").read())
    (empty / "busybox").chmod(0o755)

    def make(name, *changes, source=IMAGE):
        tag = f"berth-test-{name}"
        if source is None:
            tar = subprocess.run(["tar", "-C", empty, "-c", "."], capture_output=True, check=True).stdout
        else:
            container = docker("create", source, "true")
            tar = subprocess.run(["docker", "export", container], capture_output=True, check=True).stdout
            docker("rm", container)
        args = [a for c in changes for a in ("--change", c)]
        subprocess.run(["docker", "import", *args, "-", tag], input=tar, capture_output=True, check=True)
        made[name] = tag
        return tag

    yield make
    for tag in made.values():
        docker("rmi", "-f", tag)


def test_an_image_from_scratch(berth, images):
    tag = images("scratch", source=None)
    view = berth.wait(berth.submit("/busybox", "sh", "-c", "echo alone; /busybox ls /", image=tag))
    assert view["status"] == "succeeded", told(view)
    assert berth.output(view["id"]).startswith(b"alone\n")


def test_an_image_with_an_entrypoint(berth, images):
    tag = images("entrypoint", 'ENTRYPOINT ["/bin/echo", "from", "entrypoint"]', 'CMD ["default"]', "ENV PATH=/bin FROM_IMAGE=yes")
    assert berth.output(berth.wait(berth.submit(image=tag))["id"]) == b"from entrypoint default\n"
    assert berth.output(berth.wait(berth.submit("mine", image=tag))["id"]) == b"from entrypoint mine\n"
    own = berth.wait(berth.submit("-c", "echo $FROM_IMAGE", image=tag, entrypoint=["/bin/sh"]))
    assert berth.output(own["id"]) == b"yes\n"
    script = berth.run("echo script $FROM_IMAGE", image=tag)
    assert berth.output(script["id"]) == b"script yes\n", script


def test_a_user_without_passwd_entry_and_a_read_only_root(berth, images):
    tag = images("user", "USER 54321:54321", "ENV PATH=/bin")
    view = berth.run("id -u; echo x >/file || echo refused; echo to file >/dev/stderr", image=tag,
                     hardening={"read_only": True})
    assert view["status"] == "succeeded", told(view)
    assert berth.output(view["id"], "?stream=stdout") == b"54321\nrefused\n"
    assert b"to file\n" in berth.output(view["id"], "?stream=stderr")
