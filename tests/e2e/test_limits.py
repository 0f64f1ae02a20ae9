"""Limits are the kernel's."""
import pathlib

from support import told, wait_until

READ_LIMITS = r"""
v1=/sys/fs/cgroup
if [ -f $v1/memory/memory.limit_in_bytes ]; then
    cat $v1/memory/memory.limit_in_bytes $v1/memory/memory.memsw.limit_in_bytes 2>/dev/null | tr '\n' ' '; echo
    cat $v1/pids/pids.max
    cat $v1/cpu/cpu.cfs_quota_us $v1/cpu/cpu.cfs_period_us | tr '\n' ' '; echo
else
    cat $v1/memory.max; cat $v1/pids.max; cat $v1/cpu.max
fi
ulimit -n
df -k /dev/shm | awk 'END { print $2 }'
df -k /scratch | awk 'END { print $2 }'
grep CapEff /proc/self/status; grep NoNewPrivs /proc/self/status; grep Seccomp: /proc/self/status
"""


def test_read_inside_the_container(berth):
    view = berth.run(READ_LIMITS, limits={"memory": "96m", "cpus": 0.5, "pids": 77, "nofile": 333, "shm": "8m",
                                          "tmpfs": {"/scratch": "4m"}})
    assert view["status"] == "succeeded", berth.output(view["id"])
    lines = berth.output(view["id"]).decode().splitlines()
    memory = lines[0].split()
    assert memory[0] == str(96 << 20) and (len(memory) == 1 or memory[1] == memory[0]), "memory, and no swap"
    assert lines[1] == "77"
    quota, period = map(int, lines[2].split())
    assert quota * 2 == period
    assert lines[3:6] == ["333", str(8 << 10), str(4 << 10)]
    # CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID NET_BIND_SERVICE
    assert int(lines[6].split()[1], 16) == sum(1 << bit for bit in (0, 1, 3, 4, 5, 6, 7, 10))
    assert lines[7].split()[1] == "1" and lines[8].split()[1] == "2"


def test_no_capabilities_when_asked(berth):
    view = berth.run("grep CapEff /proc/self/status", hardening={"caps": "none"})
    assert berth.output(view["id"]).split()[1] == b"0000000000000000"


def test_a_fork_bomb_ends_and_the_host_does_not_notice(berth):
    job = berth.script("bomb() { bomb | bomb & }; bomb; sleep 600", limits={"pids": 64, "cpus": 0.5}, deadlines={"run": "4s"},
                       stop={"grace": "1s"})
    # While it rages, the API answers and another job runs to its end.
    wait_until(lambda: berth.job(job)["status"] != "queued", "the bomb is started")
    assert berth.run("echo unharmed")["status"] == "succeeded"
    view = berth.wait(job)
    assert view["status"] in ("timed_out", "failed"), told(view)
    assert berth.on_engine() == []


def test_a_job_over_its_memory_does_not_take_the_hosts(berth):
    before = int(pathlib.Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0])
    view = berth.run("dd if=/dev/zero of=/dev/null bs=512M count=4", limits={"memory": "64m"})
    assert (view["status"], view["reason"]) == ("failed", "oom"), told(view)
    assert view["usage"]["oom_kills"] >= 1 and "64" in view["message"]
    after = int(pathlib.Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0])
    assert after > before / 2
