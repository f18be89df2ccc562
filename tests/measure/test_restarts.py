"""Restarts of a pod's cgroup that only another source shows."""

from accounting.measure.usage.counters import restarts
from accounting.measure.usage.counters.restarts import Other, Others
from accounting.model.pods import Counter

OWN = Counter(at=1300, value=630.0, seen_at=1260.0)


def test_what_another_source_said_before_the_cgroup_did_is_no_restart() -> None:
    """Both are silent afterwards, and the notebook is idle."""
    counter = Counter(1200, 600.0, first=(60.0, 5.0), seen_at=1200.0)
    before = Other(counter, counter, ())
    assert list(restarts.returns([(3000.0, 640.0)], Others([before]), OWN, 1300)) == []
    assert restarts.unseen(OWN, Others([before]), (1260.0, 3000.0), 640.0) == {}


def test_a_restart_that_another_source_shows_is_the_cgroup_s_with_the_other_s_peak() -> None:
    peak = ((2000.0, 900.0),)
    counter = Counter(2900, 450.0, peak, first=(1290.0, 645.0), seen_at=2900.0)
    beside = Other(counter, counter, ())
    (silence,) = restarts.returns([(3000.0, 480.0)], Others([beside]), OWN, 1300)
    assert silence == (1260.0, 3000.0)
    assert restarts.unseen(OWN, Others([beside]), silence, 480.0) == dict(peak)


def test_a_source_that_falls_by_itself_restarts_nothing_where_the_cgroup_went_on() -> None:
    peak = ((2000.0, 900.0),)
    counter = Counter(2900, 450.0, peak, first=(1290.0, 645.0), seen_at=2900.0)
    beside = Other(counter, counter, ())
    assert restarts.unseen(OWN, Others([beside]), (1260.0, 3000.0), 1380.0) == {}


def test_what_another_source_says_after_the_silence_is_no_restart() -> None:
    """It spoke once in the silence, and of the same window's later samples one is far higher."""
    points = [(1290.0, 610.0), (3030.0, 650.0), (6000.0, 2000.0)]
    beside = Other(Counter(6000, 2000.0, first=points[0], seen_at=6000.0), None, points)
    later = Other(Counter(6000, 2000.0, first=points[1], seen_at=6000.0), None, points[1:])
    assert restarts.unseen(OWN, Others([later, beside]), (1260.0, 3000.0), 640.0) == {}


def test_what_another_source_says_between_two_samples_is_no_silence() -> None:
    """Of a cgroup that stands still, beside a source that spoke up to the window before."""
    counter = Counter(2900, 28.8, first=(1290.0, 16.2), seen_at=2990.0)
    beside = Other(counter, counter, ())
    points = [(2970.0, 0.0), (3030.0, 0.0)]
    assert list(restarts.returns(points, Others([beside], 75.0), None, 0.0)) == []
    assert list(restarts.returns(points, Others([beside], 45.0), None, 2970.0)) == [
        (2970.0, 3030.0)
    ]
