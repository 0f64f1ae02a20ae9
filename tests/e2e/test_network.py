"""Whom a job can reach, and whom it cannot."""
import contextlib
import http.server
import subprocess
import threading

import pytest

from support import docker, free_port, wait_until


@contextlib.contextmanager
def listening(address):
    server = http.server.ThreadingHTTPServer((address, 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


REACH = "nc -w 2 {host} {port} </dev/null && echo reached || echo kept away"


def reach(berth, host, port, **spec):
    view = berth.run(REACH.format(host=host, port=port), **spec)
    return berth.output(view["id"], "?stream=stdout").decode().strip()


def gateway_of(berth):
    view = berth.run("ip route | awk '/default/ { print $3 }'")
    return berth.output(view["id"]).decode().strip()


def test_none(berth):
    view = berth.run("ip -o addr | grep -v ' lo ' | wc -l", network="none")
    assert berth.output(view["id"]) == b"0\n"


def test_the_hosts_ports_are_closed(berth):
    with listening("0.0.0.0") as port:
        gateway = gateway_of(berth)
        assert reach(berth, gateway, port) == "kept away"
        assert reach(berth, gateway, port, network="private") == "kept away"
        for line in subprocess.run(["ip", "-4", "-o", "addr", "show", "scope", "global"], capture_output=True, text=True).stdout.splitlines():
            address = line.split()[3].split("/")[0]
            assert reach(berth, address, port) == "kept away", address


def test_what_the_operator_allows_is_open(new_berth):
    with listening("0.0.0.0") as port:
        first = new_berth()
        gateway = gateway_of(first)
        first.stop()
        berth = new_berth(BERTH_EGRESS_ALLOW=f"10.0.0.0/8:{port},172.16.0.0/12:{port},192.168.0.0/16:{port}")
        assert reach(berth, gateway_of(berth), port) == "reached"


def test_the_clouds_metadata_is_closed(berth):
    subprocess.run(["ip", "addr", "add", "169.254.169.254/32", "dev", "lo"], capture_output=True)
    try:
        with listening("169.254.169.254") as port:
            assert reach(berth, "169.254.169.254", port) == "kept away"
            assert reach(berth, "169.254.169.254", port, network="private") == "kept away"
    finally:
        subprocess.run(["ip", "addr", "del", "169.254.169.254/32", "dev", "lo"], capture_output=True)


def test_jobs_do_not_reach_each_other(berth):
    server = berth.script("hostname -i; nc -l -p 8000", deadlines={"run": "60s"})
    address = wait_until(lambda: berth.output(server), "it tells its address").decode().strip()
    assert reach(berth, address, 8000) == "kept away"
    assert reach(berth, address, 8000, network="private") == "kept away"
    berth.cancel(server, force=True)
    berth.wait(server)


def test_the_world_is_open(berth):
    """A network namespace behind a pair of interfaces is the world."""
    name = "berth-world"
    run = lambda *words: subprocess.run(words, check=True, capture_output=True)
    run("ip", "netns", "add", name)
    try:
        run("ip", "link", "add", "berthw0", "type", "veth", "peer", "name", "berthw1")
        run("ip", "link", "set", "berthw1", "netns", name)
        run("ip", "addr", "add", "198.51.100.1/24", "dev", "berthw0")
        run("ip", "link", "set", "berthw0", "up")
        run("ip", "-n", name, "addr", "add", "198.51.100.2/24", "dev", "berthw1")
        run("ip", "-n", name, "link", "set", "berthw1", "up")
        port = free_port()
        server = subprocess.Popen(["ip", "netns", "exec", name, "/usr/bin/python3", "-m", "http.server", "--bind", "198.51.100.2", str(port)],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: subprocess.run(["curl", "-s", "-o", "/dev/null", f"http://198.51.100.2:{port}/"]).returncode == 0, "the world answers")
            assert reach(berth, "198.51.100.2", port) == "reached"
            assert reach(berth, "198.51.100.2", port, network="private") == "reached"
        finally:
            server.kill()
            server.wait()
    finally:
        run("ip", "netns", "del", name)
