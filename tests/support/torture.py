"""Drives tests/support/torture (its header tells what it does) under a whole berthd."""
import contextlib
import re
import subprocess

from support import BUILD, ROOT, Berth

LIBRARY = BUILD / "tests" / "integration" / "libtorture.so"
LEAKS = ROOT / "tests" / "support" / "torture" / "leaks.supp"


class Point:
    def __init__(self, site, call, how, frames):
        self.site, self.call, self.how, self.frames = site, call, how, frames
        self.order = f"{site}:{how}"


class Torture:
    """One program below berthd, whose calls are to fail; directory: of this test alone."""

    def __init__(self, directory, program, only):
        self.directory, self.program, self.only = directory, program, only

    def environment(self):
        return {"LD_PRELOAD": str(LIBRARY), "TORTURE_DIR": str(self.directory), "TORTURE_ONLY": self.only}

    def give(self, order):
        (self.directory / "fired").unlink(missing_ok=True)
        (self.directory / "order").write_text(order)

    def rest(self):
        (self.directory / "order").unlink(missing_ok=True)

    def fired(self):
        return (self.directory / "fired").exists()

    def points(self):
        """Each site once with each way to fail there, in an order that is the same for the same sites."""
        points = {}
        for line in (self.directory / "sites").read_text().splitlines():
            site, call, hows, *frames = line.split(" ")
            for how in hows.split(","):
                points[site, how] = Point(site, call, how, frames)
        return [points[key] for key in sorted(points)]

    def explain(self, point):
        """The frames with the names of our own functions."""
        own = [m[1] for m in (re.match(r"program\+0x([0-9a-f]+)", frame) for frame in point.frames) if m]
        names = []
        with contextlib.suppress(OSError):
            # A return address is the one behind the call.
            names = subprocess.run(["addr2line", "-fse", str(self.program), *(hex(int(a, 16) - 1) for a in own)],
                                   capture_output=True, text=True, timeout=60).stdout.splitlines()[::2]
        return f"{point.order} {point.call} in " + " < ".join(names or point.frames)


class TorturedBerth(Berth):
    """Its processes load the library."""

    def __init__(self, postgres, torture, **settings):
        self.torture = torture
        super().__init__(postgres, **settings)

    def environment(self):
        env = super().environment()
        env["ASAN_OPTIONS"] += ":verify_asan_link_order=0"
        return {**env, **self.torture.environment(), "LSAN_OPTIONS": f"print_suppressions=0:suppressions={LEAKS}"}
