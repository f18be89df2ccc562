"""Restarts of a pod's cgroup that only another source shows."""

from accounting.measure.usage.counters import restarts
from accounting.measure.usage.counters.restarts import WHOLE_PODS, Other, Others
from accounting.model.counters import always
from accounting.model.pods import Counter, CounterKind, SeriesKey

OWN = Counter(at=1300, value=630.0, seen_at=1260.0)
MOST = always(4.0)

_, BESIDE, OTEL = WHOLE_PODS


def test_what_another_source_said_before_the_cgroup_did_is_no_restart() -> None:
    """Both are silent afterwards, and the notebook is idle."""
    counter = Counter(1200, 600.0, first=(60.0, 5.0), seen_at=1200.0)
    before = Other(counter, counter, ())
    assert list(restarts.returns([(3000.0, 640.0)], Others({BESIDE: before}), OWN, 1300)) == []
    assert restarts.unseen(OWN, Others({BESIDE: before}), (1260.0, 3000.0), 640.0, MOST) == {}


def test_a_restart_that_another_source_shows_is_the_cgroup_s_with_the_other_s_peak() -> None:
    peak = ((2000.0, 900.0),)
    counter = Counter(2900, 450.0, peak, first=(1290.0, 645.0), seen_at=2900.0)
    beside = Other(counter, counter, ())
    (silence,) = restarts.returns([(3000.0, 480.0)], Others({BESIDE: beside}), OWN, 1300)
    assert silence == (1260.0, 3000.0)
    assert restarts.unseen(OWN, Others({BESIDE: beside}), silence, 480.0, MOST) == dict(peak)


def test_a_source_that_falls_by_itself_restarts_nothing_where_the_cgroup_went_on() -> None:
    peak = ((2000.0, 900.0),)
    counter = Counter(2900, 450.0, peak, first=(1290.0, 645.0), seen_at=2900.0)
    beside = Other(counter, counter, ())
    assert restarts.unseen(OWN, Others({BESIDE: beside}), (1260.0, 3000.0), 1380.0, MOST) == {}


def test_what_another_source_says_after_the_silence_is_no_restart() -> None:
    """It spoke once in the silence, and of the same window's later samples one is far higher."""
    points = [(1290.0, 610.0), (3030.0, 650.0), (6000.0, 2000.0)]
    beside = Other(Counter(6000, 2000.0, first=points[0], seen_at=6000.0), None, points)
    later = Other(Counter(6000, 2000.0, first=points[1], seen_at=6000.0), None, points[1:])
    assert (
        restarts.unseen(OWN, Others({BESIDE: later, OTEL: beside}), (1260.0, 3000.0), 640.0, MOST)
        == {}
    )


def test_what_another_source_says_between_two_samples_is_no_silence() -> None:
    """Of a cgroup that stands still, beside a source that spoke up to the window before."""
    counter = Counter(2900, 28.8, first=(1290.0, 16.2), seen_at=2990.0)
    beside = Other(counter, counter, ())
    points = [(2970.0, 0.0), (3030.0, 0.0)]
    assert list(restarts.returns(points, Others({BESIDE: beside}, longest=75.0), None, 0.0)) == []
    assert list(restarts.returns(points, Others({BESIDE: beside}, longest=45.0), None, 2970.0)) == [
        (2970.0, 3030.0)
    ]


def container(number: int, *, counted: float, first: tuple[float, float]) -> dict[SeriesKey, Other]:
    """What is said of a container by its id."""
    counter = Counter(2900, counted, first=first, seen_at=2900.0)
    return {SeriesKey(CounterKind.CPU, f"{number:064x}"): Other(counter, counter, ())}


def test_a_cgroup_that_counts_less_than_its_containers_did_meanwhile_has_restarted() -> None:
    """They counted 270 s before the node rebooted, and 480 s since; the cgroup as much since."""
    silence = (1260.0, 3000.0)
    before = container(1, counted=900.5, first=(1290.0, 630.5))
    since = container(2, counted=480.5, first=(2100.0, 3.5))
    beside = Others({**before, **since}, longest=60.0)
    assert list(restarts.returns([(3000.0, 481.0)], beside, OWN, 1300)) == [silence]
    assert restarts.unseen(OWN, beside, silence, 481.0, MOST) == {3000.0: 630.0 + 750.5 - 481.0}


def test_what_containers_counted_before_a_restart_that_another_source_shows_is_added() -> None:
    """That source is heard for the first time just after the restart."""
    shows = Counter(2990, 3.5, first=(2970.0, 3.5), seen_at=2970.0)
    counted = container(1, counted=900.5, first=(1290.0, 630.5))
    beside = Others({OTEL: Other(shows, shows, ()), **counted}, longest=60.0)
    assert restarts.unseen(OWN, beside, (1260.0, 3000.0), 10.0, MOST) == {2970.0: 630.0 + 260.0}


def test_a_cgroup_that_has_counted_what_its_containers_did_meanwhile_went_on() -> None:
    """A sample may be a little older than its time says."""
    beside = Others(container(1, counted=900.5, first=(1290.0, 630.5)), longest=60.0)
    assert restarts.unseen(OWN, beside, (1260.0, 3000.0), 880.0, MOST) == {}


def test_what_containers_count_after_the_silence_shows_no_restart_in_it() -> None:
    """They are heard again in the same window, in another silence."""
    (key, told), *_ = container(1, counted=2000.5, first=(1290.0, 630.5)).items()
    points = [(1290.0, 630.5), (1320.0, 640.5), (6000.0, 1990.5), (6030.0, 2000.5)]
    beside = Others({key: told._replace(before=None, points=points)}, longest=60.0)
    assert restarts.unseen(OWN, beside, (1260.0, 3000.0), 690.0, MOST) == {}


def test_containers_that_are_known_from_before_a_silence_show_no_restart_in_it() -> None:
    """What they had counted by then is not known any more."""
    beside = Others(container(1, counted=900.5, first=(600.0, 300.5)), longest=60.0)
    assert list(restarts.returns([(3000.0, 480.0)], beside, OWN, 1300)) == []
    assert restarts.unseen(OWN, beside, (1260.0, 3000.0), 480.0, MOST) == {}
