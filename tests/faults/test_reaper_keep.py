"""What the reaper takes away for want of room or for its age, where the operator asks for it: images and logs."""
import pytest

from orphans import Images, reap
from registry import Registry
from support import docker, told, wait_until


@pytest.fixture
def images():
    registry = Registry()
    made = Images(registry)
    yield made
    made.destroy()
    registry.destroy()


def use(berth, image, **more):
    view = berth.wait(berth.submit("true", image=image, **more))
    assert view["status"] == "succeeded", told(view)


def size(image):
    return int(docker("image", "inspect", "--format", "{{.Size}}", image))


def planned(berth, high, low):
    """Which images would go with these marks."""
    listed, last = reap(berth, "--dry-run", BERTH_IMAGES_HIGH=str(high), BERTH_IMAGES_LOW=str(low))
    assert {kind for kind, _ in listed} <= {"image"}
    return {name for _, name in listed}


def test_the_images_that_jobs_used_longest_ago_go(new_berth, images):
    berth = new_berth(BERTH_REAP_INTERVAL="1d", BERTH_SLOTS="4")
    a, b, c, d, theirs, shared, queued = (images.push(name) for name in ("a", "b", "c", "d", "theirs", "shared", "queued"))
    docker("pull", "-q", theirs)
    docker("pull", "-q", shared)
    for image in (theirs, queued, a, b, c, d):
        use(berth, image)
    use(berth, shared, pull="always")  # was there already: a pull does not make it Berth's
    use(berth, a)
    one, ours = size(a), 5  # queued, b, c, d, a
    assert planned(berth, ours * one + one // 2, one) == set(), "not above the high mark"
    assert reap(berth, "--dry-run")[0] == set(), "no mark, no removal"
    assert planned(berth, ours * one - one // 2, 4 * one + one // 2) == {queued}
    assert planned(berth, ours * one - one // 2, 2 * one + one // 2) == {queued, b, c}
    later = {"run_at": "2099-01-01T00:00:00Z", "network": "private"}
    berth.submit("true", services=[{"name": "side", "image": queued}], **later)  # it waits, and wants it
    berth.sql("insert into berth.jobs (id, status, run_at, spec) values (gen_random_uuid(), 'scheduled', '2099-01-01', 'no spec at all')")
    runs = berth.script("echo up; sleep 600", image=b)
    wait_until(lambda: berth.output(runs) == b"up\n", "it runs")
    assert planned(berth, ours * one - one // 2, 2 * one + one // 2) == {c, d, a}
    images.tag(c)  # now it is somebody else's, too, and counts no more
    assert planned(berth, 4 * one + one // 2, one) == set()
    images.container(d)  # nobody's job, and stopped
    assert planned(berth, 4 * one - one // 2, 3 * one + one // 2) == {a}
    images.remove_containers()
    assert planned(berth, 4 * one - one // 2, 3 * one + one // 2) == {d}
    assert images.there(a, b, c, d, theirs, shared, queued) == [a, b, c, d, theirs, shared, queued], "nothing was removed up to here"
    gone = reap(berth, BERTH_IMAGES_HIGH=str(3 * one), BERTH_IMAGES_LOW=str(one))
    assert gone[0] == {("image", d), ("image", a)}
    assert images.there(a, b, c, d, theirs, shared, queued) == [b, c, theirs, shared, queued]
    assert berth.job(runs)["status"] == "running"
    use(berth, a)  # comes again
    berth.cancel(runs, force=True)
    berth.wait(runs)
    assert planned(berth, one, one) == {a, b}, "with the end of its job the image may go"
    notes = lambda: {note.name for note in berth.state.glob("images/*")}
    before, plenty = notes(), {"BERTH_IMAGES_HIGH": str(100 * one), "BERTH_IMAGES_LOW": str(one)}
    docker("image", "rm", "-f", a)
    assert reap(berth, **plenty)[0] == {("image", a)}, "removed by hand: its note goes"
    assert len(before - notes()) == 1 and not notes() - before
    assert reap(berth, **plenty)[0] == set()


def put_off(berth, job, days, ended_days=None):
    """As if its attempt had been claimed so many days ago."""
    ended = days if ended_days is None else ended_days
    berth.sql(f"""with a as (update berth.attempts set claimed_at = now() - interval '{days} d', finished_at = now() - interval '{ended} d'
                             where job_id = '{job}' returning id)
                  update berth.log_chunks c set created_on = (now() at time zone 'UTC')::date - {days} from a where c.attempt_id = a.id""")


def day(berth, ago):
    return berth.sql(f"select (now() at time zone 'UTC')::date - {ago}")


def partitions(berth):
    return set(berth.sql("select relname from pg_class join pg_inherits on inhrelid = oid where inhparent = 'berth.log_chunks'::regclass").split())


def test_logs_of_days_that_are_over_go_and_say_so(new_berth):
    berth = new_berth(BERTH_REAP_INTERVAL="1d")
    ahead = {f"log_chunks_{day(berth, -i).replace('-', '')}" for i in range(4)}
    wait_until(lambda: partitions(berth) >= ahead, lambda: f"partitions for today and the next days are made: {partitions(berth)}")
    old, older, late, fresh, empty = (berth.run(f"printf {word}")["id"] for word in ("old", "older", "late", "fresh", "''"))
    name = f"log_chunks_{day(berth, 20).replace('-', '')}"
    berth.sql(f"create table berth.{name} partition of berth.log_chunks for values from ('{day(berth, 20)}') to ('{day(berth, 19)}')")
    put_off(berth, old, 10)  # in the default partition
    put_off(berth, older, 20)
    put_off(berth, empty, 20)
    put_off(berth, late, 15, ended_days=2)  # began long ago, and has ended just now
    before = {job: berth.job(job) for job in (old, older)}
    assert reap(berth, "--dry-run") == (set(), "0 would be removed"), "for ever is the default"
    listed = {("log", day(berth, 10)), ("log", day(berth, 20))}
    assert reap(berth, "--dry-run", BERTH_LOG_RETENTION="7d")[0] == listed
    assert berth.output(old) == b"old" and name in partitions(berth), "a dry run removes nothing"
    assert reap(berth, BERTH_LOG_RETENTION="7d")[0] == listed
    assert name not in partitions(berth)
    assert berth.sql("select count(*) from berth.log_chunks") == "2"
    for job in (old, older):
        log = berth.job(job)["log"]
        assert log == {**before[job]["log"], "complete": False, "stored_bytes": 0}
        assert berth.output(job) == b"", "not a byte that was not there"
        gaps = [m for m in berth.messages(job) if m["type"] == "gap"]
        assert gaps == [{"type": "gap", "offset": 0, "bytes": log["bytes"], "cause": "expired"}]
        assert berth.output(job, "?tail=5") == b""
        assert berth.job(job)["status"] == "succeeded"
    for job, text in ((late, b"late"), (fresh, b"fresh")):
        assert berth.output(job) == text and berth.job(job)["log"]["complete"] is True
    assert berth.job(empty)["log"]["complete"] is True, "there was nothing to lose"
    assert reap(berth, BERTH_LOG_RETENTION="7d") == (set(), "0 orphans found")
