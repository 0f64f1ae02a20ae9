"""A second Docker Engine with a network namespace of its own, to be killed and restarted at will."""
import contextlib
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading

from support import IMAGE, wait_until


class Engine:
    def __init__(self, *options, slow_start_s=0, disk_mb=0):
        """slow_start_s: so long takes the start of a container while the file self.slow exists. disk_mb: its data have a disk of
        their own of this size, self.dir / "data"."""
        self.name = "berth-" + secrets.token_hex(3)
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="berth-engine-", dir="/var/tmp"))
        self.options = options
        self.slow = self.dir / "slow"
        if slow_start_s:
            runtime = self.dir / "slow-runc"
            runtime.write_text(f"#!/bin/sh\ncase \"$*\" in *' create '*) [ -e {self.slow} ] && sleep {slow_start_s};; esac\nexec runc \"$@\"\n")
            runtime.chmod(0o755)
            self.options += ("--add-runtime", f"slow={runtime}", "--default-runtime", "slow")
        self.host = f"unix://{self.dir}/docker.sock"
        self.process = None
        self.wanted = False  # whether it is to run; who changes that or the process holds the lock
        self.lock = threading.Lock()
        if disk_mb:
            (self.dir / "data").mkdir()
            subprocess.run(["truncate", "-s", f"{disk_mb}M", self.dir / "disk"], check=True)
            subprocess.run(["mkfs.ext4", "-q", "-m", "0", self.dir / "disk"], check=True)
            subprocess.run(["mount", "-o", "loop", self.dir / "disk", self.dir / "data"], check=True)
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        subprocess.run(["ip", "-n", self.name, "link", "set", "lo", "up"], check=True)
        self.start()
        subprocess.run(f"docker save {IMAGE} | docker -H {self.host} load", shell=True, check=True, capture_output=True)

    def end_containerd(self):
        """The one of an engine that has died. It dies too, but a moment later, and takes the socket of its successor with it then;
        and where nobody reaps orphans, the next engine would take it for alive for ever."""
        config = str(self.dir / "exec" / "containerd" / "containerd.toml")

        def alive():
            pids = subprocess.run(["pgrep", "-f", f"^containerd --config {config}"], capture_output=True, text=True).stdout.split()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            return pids

        wait_until(lambda: not alive(), "containerd has died with its engine")
        (self.dir / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)

    def start(self):
        self.spawn()
        self.wanted = True
        threading.Thread(target=self.keep_up, daemon=True).start()
        wait_until(self.answers, lambda: f"the private engine answers:\n{(self.dir / 'log').read_text()[-3000:]}", every=0.2)

    def spawn(self):
        (self.dir / "pid").unlink(missing_ok=True)
        self.end_containerd()
        log = open(self.dir / "log", "ab")
        self.process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.name}", "dockerd", "--data-root", f"{self.dir}/data", "--exec-root", f"{self.dir}/exec",
             "-H", self.host, "--pidfile", f"{self.dir}/pid", *self.options], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True)

    def keep_up(self):
        """As an init system does: one that ends by itself (it waits 15 s for its containerd) is started again."""
        while self.wanted:
            self.process.wait()
            with self.lock:
                if self.wanted and self.process.poll() is not None:
                    self.spawn()

    def answers(self):
        return self.docker("version", "--format", "{{.Server.Version}}", check=False)

    def docker(self, *args, check=True):
        done = subprocess.run(["docker", "-H", self.host, *args], capture_output=True, text=True, timeout=120)
        if check and done.returncode != 0:
            raise AssertionError(f"docker {' '.join(args)}: {done.stderr}\nthe engine's log:\n{(self.dir / 'log').read_text()[-3000:]}")
        return done.stdout.strip()

    def stop(self, how=signal.SIGTERM):
        with self.lock:
            self.wanted = False
        self.process.send_signal(how)
        self.process.wait(60)

    def destroy(self):
        with contextlib.suppress(AssertionError):
            if self.process.poll() is None:
                for container in self.docker("ps", "-aq").split():
                    self.docker("rm", "-f", container, check=False)
        self.stop()
        # Its containerd outlives a killed engine.
        for pid in subprocess.run(["pgrep", "-f", str(self.dir)], capture_output=True, text=True).stdout.split():
            if int(pid) != os.getpid():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        for line in reversed(pathlib.Path("/proc/mounts").read_text().splitlines()):
            if str(self.dir) in line or f"/run/netns/{self.name}" == line.split()[1]:
                subprocess.run(["umount", "-l", line.split()[1]], capture_output=True)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)
        shutil.rmtree(self.dir, ignore_errors=True)
