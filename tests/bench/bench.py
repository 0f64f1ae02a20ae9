"""Figures and their floors. See tests/bench/run."""
import datetime
import http.client
import json
import signal
import socket
import statistics
import subprocess
import sys
import time

from support import IMAGE, Berth, Postgres, wait_until

RUNS = 10
RUNNING = 20
RESTARTS = 5
FLOODS = 6


class EngineConnection(http.client.HTTPConnection):
    def __init__(self):
        super().__init__("localhost")

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/var/run/docker.sock")

    def call(self, method, path, body=None):
        self.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"})
        answer = self.getresponse()
        text = answer.read()
        assert answer.status < 400, text
        return json.loads(text) if text else None


def at(text):
    return datetime.datetime.fromisoformat(text[:19] + "+00:00").timestamp() + float("0" + text[19:-1])


def row(what, figure, floor_name, floor, unit):
    print(f"| {what} | {figure:.1f} {unit} | {floor_name} | {floor:.1f} {unit} | {figure / floor:.2f} |", flush=True)


def engine_start_ms():
    """POST start of a container that exists, on a network of its own."""
    engine = EngineConnection()
    network = engine.call("POST", "/networks/create", {"Name": "berth-bench", "CheckDuplicate": True})["Id"]
    times = []
    try:
        for _ in range(RUNS):
            made = engine.call("POST", "/containers/create", {"Image": IMAGE, "Cmd": ["true"], "HostConfig": {"NetworkMode": "berth-bench"}})["Id"]
            begin = time.monotonic()
            engine.call("POST", f"/containers/{made}/start")
            times.append((time.monotonic() - begin) * 1000)
            engine.call("POST", f"/containers/{made}/wait")
            engine.call("DELETE", f"/containers/{made}?force=1")
    finally:
        engine.call("DELETE", f"/networks/{network}")
    return statistics.median(times)


def services(berth):
    """From the line by which a service gets ready to the first output of the main container."""
    delays = []
    service = {"name": "db", "image": IMAGE, "command": ["sh", "-c", "sleep 1; echo READY; exec sleep 600"], "ready": {"log": "^READY$"}}
    for _ in range(RUNS):
        view = berth.run("echo here", services=[service])
        assert view["status"] == "succeeded", view
        times = {m["stream"]: at(m["ts"]) for m in berth.messages(view["id"]) if m["type"] == "log" and m["text"] in ("READY\n", "here\n")}
        delays.append((times["stdout"] - times["service:db"]) * 1000)
    row("a service is ready → the main container writes (median)", statistics.median(delays), "the engine's start alone", engine_start_ms(), "ms")


def flood(berth):
    """1 GB of short lines with `log: 8m`, against the same written to a file in the same container."""
    command = "yes 'a line of some seventy bytes, as compilers and tests print them all day long' | head -c 1073741824"
    timed = "t0=$(cut -d' ' -f1 /proc/uptime); {}; t1=$(cut -d' ' -f1 /proc/uptime); echo; echo took $(echo $t0 $t1 | awk '{{ print ($2 - $1) * 1000 }}')"
    figures, floors = [], []
    ways = [(timed.format(command), figures), (timed.format(command + " >/var/tmp/x"), floors)]
    for _ in range(FLOODS):
        for script, into in ways:
            view = berth.run("mkdir -p /var/tmp; " + script, limits={"log": "8m"})
            tail = berth.output(view["id"], "?tail=1")
            into.append(float(tail.split()[-1]))
        ways.reverse()  # neither always comes behind the other, of which the kernel still writes
    row("1 GB of short lines into the log (median)", statistics.median(figures), "into a file of the container", statistics.median(floors), "ms")


def start_ms(berth, is_there):
    """From the start of berthd, which has ended, to what is looked for."""
    begin = time.monotonic()
    berth.start(wait=False)
    wait_until(is_there, "it is there", every=0.002)
    took = (time.monotonic() - begin) * 1000
    wait_until(berth.ready, "berthd is ready")
    return took


def restart(berth):
    """kill -9 of berthd under 20 running jobs, and a restart: until each has a runner again that has locked it."""
    floors, figures = [], []
    for _ in range(RESTARTS):
        berth.stop(signal.SIGKILL)
        floors.append(start_ms(berth, berth.ready))
    jobs = [berth.script("echo up; exec sleep 600", limits={"memory": "16m"}) for _ in range(RUNNING)]
    for job in jobs:
        wait_until(lambda: berth.output(job), "they run")
    for _ in range(RESTARTS):
        berth.stop(signal.SIGKILL)
        wait_until(lambda: not berth.supervised(), "its runners are dead")
        figures.append(start_ms(berth, lambda: len(berth.supervised()) == RUNNING))
    for job in jobs:
        berth.cancel(job, force=True)
        berth.wait(job)
    row(f"kill -9 of berthd, restart → all {RUNNING} running jobs are supervised again (median)", statistics.median(figures),
        "an idle berthd gets ready", statistics.median(floors), "ms")


ALL = {"services": services, "flood": flood, "restart": restart}


def main():
    names = sys.argv[1:] or list(ALL)
    cpu = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    version = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    print(f"{version}, {datetime.date.today()}, {cpu}\n\n| what | figure | floor | of the floor | ratio |\n|---|---|---|---|---|")
    postgres = Postgres()
    try:
        berth = Berth(postgres, BERTH_SLOTS=str(RUNNING))
        try:
            for name in names:
                ALL[name](berth)
        finally:
            berth.destroy()
    finally:
        postgres.destroy()


main()
