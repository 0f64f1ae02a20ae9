from fixtures import berth, new_berth, postgres  # noqa: F401

LONGEST = {"test_deploy.py", "test_reasons.py", "test_self_build.py", "test_services.py"}


def pytest_collection_modifyitems(items):
    """A worker takes a whole file: the longest come first, so that none of them is waited for at the end."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
