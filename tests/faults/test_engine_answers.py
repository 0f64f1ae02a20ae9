"""The engine does what it is told, and what it says about that is lost, late, garbled or made up."""
import datetime
import functools

import pytest

from engine_proxy import EngineProxy, answer, cut, edit, flood, hold, lose, say, say_instead, slice_up, swallow
from engine_world import World, told
from support import Berth, docker, wait_until

CREATE, START, WAIT, KILL, INSPECT = (rf"containers/[^ ]*{verb}" for verb in ("create", "/start ", "/wait", "/kill", "/json "))
REMOVE, MAKE_NETWORK, REMOVE_NETWORK, LIST_NETWORKS, LOOK_AT_NETWORK, DISCONNECT, EVENTS = (
    "^DELETE [^ ]*containers/", "networks/create", "^DELETE [^ ]*networks/", "^GET [^ ]*networks[?]", "^GET [^ ]*networks/[0-9a-f]",
    "/disconnect", "/events")
ANY = "containers|networks|images|events|info"


class Engine:
    """As engine_world wants it: what is behind the proxy is the engine that all use."""

    def __init__(self):
        self.proxy = EngineProxy()
        self.host = self.proxy.host


@pytest.fixture(scope="module")
def world(postgres):
    made = World(functools.partial(Berth, postgres), Engine(), BERTH_REAP_INTERVAL="2s")
    assert made.berth.run("true", network="none")["status"] == "succeeded", "the probe at the start is over"
    yield made
    made.engine.proxy.heal()
    made.berth.destroy()
    made.destroy()
    made.engine.proxy.destroy()


@pytest.fixture
def proxy(world):
    yield world.engine.proxy
    world.engine.proxy.heal()


def expect(world, job, end, runs):
    view = world.berth.wait(job)
    assert (view["status"], view["reason"], view["exit_code"]) == end, told(view)
    assert world.ledger.executions(job) == runs, told(view)
    return view


# The call, how often in a row at most, and what becomes of its answer.
LOST = [(pattern, times, fault) for fault in (lose, cut(30)) for pattern, times in (
    (CREATE, 1), (START, 1), (START, 4), (WAIT, 3), (INSPECT, 3), (REMOVE, 2), (MAKE_NETWORK, 1), (MAKE_NETWORK, 2), (REMOVE_NETWORK, 2),
    (LIST_NETWORKS, 2))]


def later():
    """When a job is to start for which something has to be prepared that goes by its id."""
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.fault("the engine's answers are lost or cut", how="a proxy on the engine's socket, 20 places",
                   holds="each job is executed once and ends true")
def test_a_lost_answer_costs_nothing(world, proxy):
    """Whatever the call: it is found out what it has done."""
    jobs = {}
    for case in LOST:
        # They make their networks one after the other, which takes a busy machine its time.
        job = world.script("echo here; exit 3", network="private", run_at=later(), deadlines={"start": "5m"})
        proxy.spoil(case[0], case[2], case[1], job)
        jobs[job] = case
    for job, case in jobs.items():
        print(job, case)
        expect(world, job, ("failed", "exit_code", 3), [1])
        assert world.berth.output(job) == b"here\n"
    unspoilt = [rule for rule, case in zip(proxy.rules, LOST) if rule[2] == case[1]]
    assert not unspoilt, "each of them was lost"


@pytest.mark.fault("the engine never answers", how="a proxy that holds answers",
                   holds="every call ends within its bound")
def test_an_answer_that_never_comes_ends_with_its_time(world, proxy):
    """The wait is asked for again after a while; a create is found to be done; a start has its own deadline."""
    proxy.spoil(WAIT, hold)
    waited = world.script("echo here; exit 3")
    world.signed(waited)
    proxy.spoil(CREATE, hold, 1)
    created = world.script("echo here; exit 4")
    expect(world, waited, ("failed", "exit_code", 3), [1])
    expect(world, created, ("failed", "exit_code", 4), [1])
    proxy.heal()
    proxy.spoil(START, hold, 1)
    started = world.script("echo here; sleep 600", deadlines={"start": "2s"})
    expect(world, started, ("timed_out", "start_deadline", None), [1])
    proxy.spoil(START, swallow, 1)
    swallowed = world.script("echo here; sleep 600", deadlines={"start": "2s"})
    expect(world, swallowed, ("timed_out", "start_deadline", None), [])


FINE = ("failed", "exit_code", 3)
MADE_UP = {
    "create is refused: 500": (CREATE, say(answer("500 Oops", '{"message":"no space left on device"}')), 1, ("errored", "internal", None), []),
    "create is refused: 400": (CREATE, say(answer("400 Bad", '{"message":"invalid"}')), 1, ("errored", "spec_refused", None), []),
    "create is refused: 404": (CREATE, say(answer("404 Absent", '{"message":"no such image"}')), 1, ("errored", "image_not_found", None), []),
    "create answers something else": (CREATE, say_instead(answer("201 Created", '{"Id":7}')), 1, ("errored", "internal", None), []),
    "create answers no JSON": (CREATE, say_instead(answer("201 Created", "made")), 1, ("errored", "internal", None), []),
    "create says that it was there": (CREATE, say_instead(answer("409 Conflict", '{"message":"in use"}')), 1, FINE, [1]),
    "create says that it was there, and it is not": (CREATE, say(answer("409 Conflict", '{"message":"in use"}')), 2, FINE, [1]),
    "start is refused: 500": (START, say(answer("500 Oops", '{"message":"oops"}')), 1, ("errored", "internal", None), []),
    "start was not waited for by the engine itself": (
        START, say(answer("500 Oops", '{"message":"failed to create shim task: context deadline exceeded: unknown"}')), 2, FINE, [1]),
    "start lost its shim": (START, say(answer("500 Oops", '{"message":"ttrpc: closed: unknown"}')), 1, FINE, [1]),
    "start says 500 though it has started": (START, say_instead(answer("500 Oops", '{"message":"oops"}')), 1, FINE, [1]),
    "start says 404 though it has started": (START, say_instead(answer("404 Absent", "{}")), 1, FINE, [1]),
    "start says that it was started, and it was not": (START, say(answer("304 Not Modified", "")), 1, ("errored", "internal", None), []),
    "wait answers 0 at once": (WAIT, say(answer("200 OK", '{"StatusCode":0}')), 3, FINE, [1]),
    "wait answers 143 at once": (WAIT, say(answer("200 OK", '{"StatusCode":143}')), 3, FINE, [1]),
    "wait answers nothing": (WAIT, say(answer("200 OK", "")), 3, FINE, [1]),
    "wait answers no JSON": (WAIT, say(answer("200 OK", "ended")), 3, FINE, [1]),
    "wait knows no such container": (WAIT, say(answer("404 Absent", "{}")), 3, FINE, [1]),
    "wait answers a header without end": (WAIT, flood(b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n"), 3, FINE, [1]),
    "inspect answers no JSON": (INSPECT, say(answer("200 OK", "[")), 3, FINE, [1]),
    "inspect answers 500": (INSPECT, say(answer("500 Oops", "{}")), 3, FINE, [1]),
    "inspect breaks off in a chunk": (INSPECT, say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{\"Id\":"), 3, FINE, [1]),
    "removal is refused": (REMOVE, say(answer("409 Conflict", '{"message":"removal of container x is already in progress"}')), 2, FINE, [1]),
    "removal fails": (REMOVE, say(answer("500 Oops", '{"message":"device busy"}')), 2, FINE, [1]),
    "all speak HTTP/1.0": (ANY, edit(lambda whole: whole.replace(b"HTTP/1.1", b"HTTP/1.0", 1)), None, FINE, [1]),
    "all come byte after byte": (ANY, slice_up(0), None, FINE, [1]),
    "all come byte after byte, slowly": (INSPECT, slice_up(1), 1, FINE, [1]),
}


@pytest.fixture(scope="module")
def made_up(world):
    """All at once: it takes them some seconds each."""
    jobs = {}
    for what, (pattern, fault, times, *_) in MADE_UP.items():
        # It lasts a moment, so that what is asked while it runs is asked.
        jobs[what] = world.script("echo here; sleep 1; exit 3", run_at=later())
        world.engine.proxy.spoil(pattern, fault, times, jobs[what])
    yield jobs
    world.engine.proxy.heal()


@pytest.mark.fault("the engine answers nonsense", how="500, 409, 404, wrong JSON, endless headers, 1 byte at a time and more",
                   holds="no hang, no crash, the right class of error")
@pytest.mark.parametrize("what", MADE_UP)
def test_what_is_made_up_costs_no_truth(world, made_up, what):
    *_, end, runs = MADE_UP[what]
    view = expect(world, made_up[what], end, runs)
    if runs:
        assert world.berth.output(made_up[what]) == b"here\n" and view["log"]["complete"] is True
    assert not [rule for rule in world.engine.proxy.rules if rule[3] == made_up[what] and rule[2]], "it was made up"


@pytest.mark.fault("events are silent, doubled, reordered", how="a proxy",
                   holds="the verdict is true all the same")
def test_events_that_are_not_to_be_trusted(world, proxy):
    """Garbage, every event twice, and in another order, after a kill by someone else; wait says 0."""
    def lines(change):
        def of(whole):
            head, body = whole.split(b"\r\n\r\n", 1)
            chunks = [line for line in body.split(b"\r\n") if line.startswith(b"{")]
            return head.replace(b"Transfer-Encoding: chunked", b"X: y") + b"\r\n\r\n" + b"\n".join(change(chunks)) + b"\n"
        return edit(of)

    cases = {"twice": lines(lambda all_: [line for line in all_ for _ in range(2)]), "reordered": lines(lambda all_: all_[::-1]),
             "garbage": say(answer("200 OK", "no event")), "refused": say(answer("500 Oops", "{}"))}
    for what, fault in cases.items():
        proxy.heal()
        proxy.spoil("/events", fault)
        proxy.spoil(WAIT, say_instead(answer("200 OK", '{"StatusCode":0}')))
        job = world.script("echo here; sleep 600")
        world.signed(job)
        docker("kill", *[name for name in world.berth.on_engine() if job in name])
        expect(world, job, ("errored", "container_killed", None), [1])
        print(what, "done")


@pytest.mark.fault("the engine keeps an endpoint whose container is gone, and refuses to remove its network", how="a proxy makes it up: 403, an endpoint "
                   "without a container", holds="the endpoint is taken off, the network goes")
def test_a_network_with_an_endpoint_of_nobody(world, proxy):
    proxy.spoil(REMOVE_NETWORK, say(answer("403 Forbidden", '{"message":"network has active endpoints"}')))
    proxy.spoil(LOOK_AT_NETWORK, say(answer("200 OK", '{"Id":"n","Containers":{"ep-7":{"Name":"gone"}}}')))
    proxy.spoil(DISCONNECT, say(answer("200 OK", "")), 1)
    expect(world, world.script("echo here; exit 3", network="private"), FINE, [1])
    wait_until(lambda: not [rule for rule in proxy.rules if rule[0].pattern == DISCONNECT and rule[2]], "the endpoint is taken off")
    assert world.berth.networks_of_jobs()
    proxy.heal()
    wait_until(lambda: not world.berth.networks_of_jobs(), "the network goes")
