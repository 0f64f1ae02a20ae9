"""What every fault test has: a seed that replays a run, the long form, and its row in the table of faults."""
import os
import random

import pytest
import table


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="the long form of each test")
    parser.addoption("--seed", type=int, help="of all that is random; printed with each test that uses it")
    parser.addoption("--table", help="where the table of faults is written")


def pytest_configure(config):
    config.addinivalue_line("markers", "fault(what, how, holds): the test's row in the table of faults (table.py)")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(TableWriter(config), "fault table")


@pytest.fixture
def long(request):
    return request.config.getoption("--long")


@pytest.fixture
def seed(request):
    given = request.config.getoption("--seed")
    number = int.from_bytes(os.urandom(4), "big") if given is None else given
    print(f"seed {number}: --seed {number} does the same again")
    return number


@pytest.fixture
def dice(seed):
    return random.Random(seed)


@pytest.fixture
def recovery(request):
    request.node.recovery = table.Recovery()
    return request.node.recovery


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if call.when == "call" and report.passed:
        report.user_properties += [("fault", table.row_of(mark, getattr(item, "recovery", None), item.nodeid)) for mark in item.iter_markers("fault")]


class TableWriter:
    def __init__(self, config):
        self.config, self.rows = config, []

    def pytest_runtest_logreport(self, report):
        if report.when == "call":
            self.rows += [value for name, value in report.user_properties if name == "fault"]

    def pytest_sessionfinish(self):
        path = self.config.getoption("--table")
        if path:
            table.write(path, self.rows, self.config.getoption("--long"))
