"""The table of faults, docs/faults.md: what was done to Berth, how, what held, how long it took to come back.

A test tells with a mark what it does and what it has asserted by its end, and measures what it waits for:

    @pytest.mark.fault("kill -9 of a helper", how="kill(2) while ten jobs write", holds="no job notices; logs exact")
    def test_x(recovery):
        with recovery():
            wait_until(...)
"""
import contextlib
import datetime
import pathlib
import subprocess
import time

HEAD = """# Faults: what is done to Berth, and what held

Written by `tests/run` ({form} form) on {date}, {cpu}, {cores} cores, at {version}. Recovery is the longest time that was seen from
the end of the fault (or from the fault itself, where it is a death) until what the test waits for; a test without such a wait has none.

| fault | how | what held | recovery | test |
|---|---|---|---|---|
"""


class Recovery:
    """Measures blocks; the longest counts."""

    def __init__(self):
        self.seconds = None

    @contextlib.contextmanager
    def __call__(self):
        begin = time.monotonic()
        yield
        self.seconds = max(self.seconds or 0, time.monotonic() - begin)


def row_of(mark, recovery, node):
    """What goes with the report of a test, as text, so that it passes between processes."""
    if len(mark.args) != 1 or set(mark.kwargs) != {"how", "holds"}:
        raise ValueError(f'{node}: the mark is fault("what", how="…", holds="…")')
    seconds = "" if recovery is None or recovery.seconds is None else f"{recovery.seconds:.1f}"
    return [mark.args[0], mark.kwargs["how"], mark.kwargs["holds"], seconds, node]


def merge(rows):
    """Tests of one function are one row; the longest recovery counts."""
    merged = {}
    for fault, how, holds, seconds, node in rows:
        key = (fault, how, holds, node.split("[")[0])
        merged[key] = max([s for s in (merged.get(key, ""), seconds) if s], key=float, default="")
    return [(fault, how, holds, seconds, node) for (fault, how, holds, node), seconds in sorted(merged.items(), key=lambda m: (m[0][3], m[0][0]))]


def write(path, rows, long):
    cpu = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    cores = sum(line.startswith("processor") for line in open("/proc/cpuinfo"))
    version = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    text = HEAD.format(form="long" if long else "short", date=datetime.date.today(), cpu=cpu, cores=cores, version=version)
    for fault, how, holds, seconds, node in merge(rows):
        name = node.rsplit("/", 1)[-1].replace("::", " ")
        text += f"| {fault} | {how} | {holds} | {seconds + ' s' if seconds else ''} | {name} |\n"
    pathlib.Path(path).write_text(text, encoding="utf-8")
