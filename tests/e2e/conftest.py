from fixtures import berth, new_berth, postgres  # noqa: F401
