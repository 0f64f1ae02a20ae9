"""What every fault test has: the fixtures of tests/e2e, a seed that replays a run, and the long form."""
import os
import random

import pytest
from fixtures import berth, new_berth, postgres  # noqa: F401


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="the long form of each test")
    parser.addoption("--seed", type=int, help="of all that is random; printed with each test that uses it")


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
