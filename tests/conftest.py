from fixtures import berth, new_berth, postgres  # noqa: F401

# A worker takes a whole file: those that take longest come first, so that none of them is waited for at the end.
LONGEST = [f"test_{name}.py" for name in (
    "torture_all", "soak", "points", "deploy", "reasons", "services", "clock", "postgres_away", "hosts", "postgres_refuses", "engine", "engine_answers",
    "self_build", "kill", "fleet")]


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
