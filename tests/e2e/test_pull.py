"""Images: by rule, with credentials, once for all that want one."""
import pytest

from registry import Registry
from support import Berth, docker, told, wait_until


@pytest.fixture(scope="module")
def registry():
    made = Registry(password=True)
    yield made
    made.destroy()


@pytest.fixture
def berth(new_berth, registry):
    return new_berth(BERTH_DOCKER_CONFIG=registry.docker_config(), BERTH_SLOTS="8")


def test_pull_with_credentials_and_what_is_told_of_it(berth, registry):
    image = registry.push("team/app:1")
    view = berth.submit_and_wait("echo", "hi", image=image)
    assert view["status"] == "succeeded", told(view)
    assert view["image_digest"].startswith(f"{registry.host}/team/app@sha256:")
    system = berth.output(view["id"], "?stream=system").decode()
    assert image in system and view["image_digest"].split("@")[1] in system, system
    assert berth.output(view["id"], "?stream=stdout") == b"hi\n"


def test_wrong_credentials_are_denied(new_berth, registry):
    image = registry.push("team/secret:1")
    berth = new_berth(BERTH_DOCKER_CONFIG=registry.docker_config(password="wrong"))
    view = berth.submit_and_wait("true", image=image)
    assert (view["status"], view["reason"]) == ("errored", "image_denied"), told(view)
    assert "BERTH_DOCKER_CONFIG" in view["message"] and "wrong" not in view["message"]


def test_eight_jobs_pull_it_once(berth, registry):
    image = registry.push("team/busy:1")
    before = registry.requests().count("blobs/sha256")
    jobs = [berth.submit("true", image=image) for _ in range(8)]
    for job in jobs:
        assert berth.wait(job)["status"] == "succeeded"
    pulls = [j for j in jobs if b"Pulling" in berth.output(j, "?stream=system")]
    assert len(pulls) == 1, "the others found it there"


def test_the_rules(berth, registry):
    image = registry.push("team/rule:1")
    never = berth.submit_and_wait("true", image=image, pull="never")
    assert (never["reason"], image in never["message"]) == ("image_not_found", True)
    first = berth.submit_and_wait("true", image=image)
    missing = berth.submit_and_wait("true", image=image)
    assert berth.output(missing["id"], "?stream=system") == b""
    # The tag moves: only `always` notices.
    docker("tag", "berth-test-postgres" if docker("images", "-q", "berth-test-postgres") else "berth-probe:0.1.0", image)
    docker("--config", registry.docker_config().rsplit("/", 1)[0] + "/push", "push", image)
    docker("rmi", image)
    docker("pull", "-q", first["image_digest"], check=False)
    always = berth.submit_and_wait("true", image=image, pull="always")
    assert always["image_digest"] != first["image_digest"], (first, always)


def test_the_registry_dies(new_berth):
    registry = Registry()
    try:
        image = registry.push("team/gone:1")
        registry.stop()
        berth = new_berth()
        view = berth.submit_and_wait("true", image=image)
        assert (view["status"], view["reason"]) == ("errored", "pull_failed"), told(view)
    finally:
        registry.destroy()
