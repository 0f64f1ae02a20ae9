"""One round: jobs of every kind, a retry, a cancel, a longer deadline, orphans, an adoption, and an end by QUIT; so that every fault
point is passed. What has to come of it is known beforehand."""
import contextlib
import json
import os
import signal
import uuid

from invariants import LEDGER, Expected
from support import IMAGE, TERMINAL, HttpError, docker, wait_until

KILOBYTES = b"".join(b"%06d a line of some length, as compilers and tests print them\n" % i for i in range(150))
BIG_BYTES = 3 * 1024 * 1024
BIG = (b"a line that yes repeats\n" * (BIG_BYTES // 24 + 1))[:BIG_BYTES]
SERVICE = {"name": "db", "image": IMAGE, "command": ["sh", "-c", "echo from db; exec sleep 600"], "ready": {"log": "from db"}}


class Round:
    def __init__(self, berth, image=IMAGE, number=1):
        """image: one that has to be pulled, with pull: always. number: of this round on this Berth."""
        self.berth = berth
        self.image = image
        self.release = f"release-{number}"
        self.expected = {}

    def add(self, how, script, **spec):
        job = self.berth.script(LEDGER + script, **spec)
        self.expected[job] = how
        return job

    def begin(self):
        """Those that end by themselves, and those that wait for us."""
        (self.berth.bound / "kilobytes").write_bytes(KILOBYTES)
        self.add(Expected("failed", "exit_code", 7, [{"stdout": KILOBYTES, "stderr": b"and more\n"}]),
                 "cat /host/kilobytes; sleep 0.2; echo and more >&2; exit 7")
        self.add(Expected("succeeded", "completed", 0, [{"stdout": b"with db\n", "service:db": b"from db\n"}]), "echo with db; sleep 0.2", services=[SERVICE])
        first, second = {"stdout": b"attempt 1\n"}, {"stdout": b"attempt 2\n"}
        self.add(Expected("succeeded", "completed", 0, [first, second]), "echo attempt $BERTH_ATTEMPT; [ $BERTH_ATTEMPT = 2 ] || exit 75",
                 retry={"max": 1, "exit_codes": [75], "delay": "100ms"})
        self.add(Expected("succeeded", "completed", 0, [{"stdout": b"pulled\n"}]), "echo pulled", image=self.image, pull="always")
        self.add(Expected("succeeded", "completed", 0, [{"stdout": BIG}]), f"yes a line that yes repeats | head -c {BIG_BYTES}")
        self.stubborn = self.add(Expected("canceled", "requested", None, [{"stdout": b"up\n"}]),
                                 "trap '' TERM; echo up; while :; do sleep 0.1; done", stop={"grace": "300ms"})
        self.waiting = self.add(Expected("failed", "exit_code", 3, [{"stdout": b"up\nreleased\n"}]),
                                f"echo up; until [ -e /host/{self.release} ]; do sleep 0.05; done; echo released; exit 3", deadlines={"run": "10m"})

    def put_in_by_sql(self):
        mount = {"type": "bind", "source": str(self.berth.bound), "target": "/host"}
        good = json.dumps({"image": IMAGE, "script": LEDGER + "echo by SQL", "mounts": [mount]})
        submit = lambda spec: self.berth.sql(f"select berth.submit($spec${spec}$spec$::jsonb)")
        self.expected[submit(good)] = Expected("succeeded", "completed", 0, [{"stdout": b"by SQL\n"}])
        self.expected[submit('{"image": 5}')] = Expected("errored", "spec_refused", None, [])

    def plant_orphans(self):
        job = uuid.uuid4()
        labels = [f"--label=io.berth.{k}={v}" for k, v in {
            "managed": "true", "cluster": self.berth.cluster(), "instance": self.berth.instance, "job": job, "attempt": 1, "token": 1, "role": "main"}.items()]
        for part in ("main", "db"):
            docker("create", "--network=none", *labels, f"--name=berth-{job}-1-{part}", IMAGE, "true")
        docker("network", "create", *labels, f"berth-{job}-1")

    def wait_for_output(self, job, text):
        wait_until(lambda: self.berth.output(job, "?stream=stdout") == text, lambda: f"{job} writes:\n{self.berth.log()[-3000:]}")

    def give_orders(self):
        self.wait_for_output(self.stubborn, b"up\n")
        with contextlib.suppress(HttpError):  # an answer that was lost, and the job has ended since
            self.berth.cancel(self.stubborn)
        self.wait_for_output(self.waiting, b"up\n")
        # Its output may be there before its start is noted, when a runner has died between the two.
        wait_until(lambda: self.berth.job(self.waiting)["status"] == "running", "it is known to run")
        self.berth.request("POST", f"/v1/jobs/{self.waiting}/extend", {"run": "10m"})
        journal = self.berth.state / "attempts" / f"{self.waiting}.1" / "journal"

        def noted():
            self.berth.tend()
            return '"extended"' in journal.read_text()
        wait_until(noted, "the runner has noted the later deadline")

    def kill_a_runner(self):
        def killed():
            self.berth.tend()
            pid = self.berth.runner_of(f"{self.waiting}.1")
            with contextlib.suppress(ProcessLookupError):
                if pid:
                    os.kill(pid, signal.SIGKILL)
                    return True
            return False
        wait_until(killed, "the job has a runner, which is killed")

    def await_all_but(self, *rest):
        for job in self.expected:
            if job not in rest:
                wait_until(lambda: self.berth.job(job)["status"] in TERMINAL, lambda: f"{job} ends:\n{self.berth.log()[-4000:]}")

    def play(self):
        self.plant_orphans()
        self.begin()
        self.put_in_by_sql()
        self.give_orders()
        self.kill_a_runner()
        self.await_all_but(self.waiting)
        self.berth.end(signal.SIGTERM)
        self.berth.start()
        (self.berth.bound / self.release).touch()
        self.await_all_but()
        last = self.add(Expected("canceled", "shutdown", None, [{"stdout": b"up\n"}]), "echo up; exec sleep 600")
        self.wait_for_output(last, b"up\n")
        self.berth.end(signal.SIGQUIT)
        self.berth.start()
        self.await_all_but()
