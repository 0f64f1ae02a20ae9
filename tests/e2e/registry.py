"""A registry of our own on the loopback, which the engine accepts without TLS; with a password when asked for."""
import base64
import json
import pathlib
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request

from support import IMAGE, docker, free_port, wait_until

# "secret", as `htpasswd -nbB` writes it: the registry takes bcrypt only.
USER, PASSWORD = "ci", "secret"
HTPASSWD = "ci:$2y$05$NN9KBlqxvUo4EWDQtJhnMehU0XE7Y4D58nxrzJeM/IsWBowwrlZQ6\n"


class Registry:
    def __init__(self, password=False):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="berth-registry-", dir="/var/tmp"))
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        config = {"version": "0.1", "log": {"accesslog": {"disabled": False}}, "http": {"addr": self.host},
                  "storage": {"filesystem": {"rootdirectory": f"{self.dir}/data"}}}
        if password:
            (self.dir / "htpasswd").write_text(HTPASSWD)
            config["auth"] = {"htpasswd": {"realm": "berth", "path": f"{self.dir}/htpasswd"}}
        (self.dir / "config.yml").write_text(json.dumps(config))  # JSON is YAML
        self.log = open(self.dir / "log", "ab")
        self.process = subprocess.Popen(["docker-registry", "serve", str(self.dir / "config.yml")], stdout=self.log, stderr=self.log)
        self.password = password
        wait_until(self.answers, "the registry answers")

    def answers(self):
        try:
            urllib.request.urlopen(f"http://{self.host}/v2/", timeout=5)
        except urllib.error.HTTPError as e:
            return e.code == 401
        except OSError:
            return False
        return True

    def docker_config(self, user=USER, password=PASSWORD):
        """The path of a config.json that logs in here."""
        path = self.dir / f"config-{user}-{password}.json"
        auth = base64.b64encode(f"{user}:{password}".encode()).decode()
        path.write_text(json.dumps({"auths": {self.host: {"auth": auth}}}))
        return str(path)

    def push(self, name, image=IMAGE):
        """Puts an image here, takes it off the engine, and returns its reference."""
        reference = f"{self.host}/{name}"
        docker("tag", image, reference)
        config = self.dir / "push"
        config.mkdir(exist_ok=True)
        if self.password:
            shutil.copy(self.docker_config(), config / "config.json")
        docker("--config", str(config), "push", reference)
        docker("rmi", reference)
        return reference

    def requests(self):
        return (self.dir / "log").read_text(errors="replace")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)

    def destroy(self):
        if self.process.poll() is None:
            self.stop()
        for reference in docker("images", "--format", "{{.Repository}}:{{.Tag}}").split():
            if reference.startswith(self.host):
                docker("rmi", "-f", reference, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)
