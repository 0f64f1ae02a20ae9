import pytest

from support import Berth, Postgres


@pytest.fixture(scope="session")
def postgres():
    cluster = Postgres()
    yield cluster
    cluster.destroy()


@pytest.fixture(scope="module")
def berth(postgres):
    """One berthd for the tests of a file that do it no harm."""
    instance = Berth(postgres)
    yield instance
    instance.destroy()


@pytest.fixture
def new_berth(postgres):
    """Makes berthds with settings of their own: new_berth(BERTH_SLOTS="4")."""
    made = []

    def make(**settings):
        made.append(Berth(postgres, **settings))
        return made[-1]

    yield make
    for instance in made:
        instance.destroy()
