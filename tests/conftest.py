from fixtures import berth, new_berth, postgres  # noqa: F401

# A worker takes a whole file, and the next one already when it has no more than two tests left: those that take longest come first, those of
# one or two tests before all, and what then waits behind them is short.
WORKERS = ["torture_all", "soak", "points", "deploy", "reasons", "services"]
SHORT = ["proxy", "extend", "host", "live"]
LONG = ["clock", "postgres_away", "hosts", "postgres_refuses", "engine", "engine_answers", "kill", "fleet", "self_build"]
ORDER = {f"test_{name}.py": place for place, name in enumerate(WORKERS + SHORT + LONG)}


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: ORDER.get(item.path.name, len(ORDER)))
