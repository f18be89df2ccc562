"""What answers say of home volumes: claims, folders, and what the kubelet is not believed."""

from accounting.measure.promql import volumes as promql
from accounting.measure.usage.samples import Row, Samples, Sighting
from accounting.measure.usage.volumes import seen_volumes
from accounting.model.pods import ERASED, Owner
from accounting.model.volumes import Measured, Mounter, Quality, VolumeSeen

GIB = 2**30
AT = 5 * 86400 + 100


def row(metric: str, value: float, name: str = "claim-a", **labels: str) -> Row:
    return {"__name__": metric, "persistentvolumeclaim": name, **labels}, value


def folder(name: str, size: float) -> Row:
    return {"__name__": promql.DIRECTORY, "directory": name}, size


def read(claims: list[Row], use: list[Row], found: Samples | None = None) -> list[VolumeSeen]:
    return seen_volumes("hub", 5, AT, claims, use, found=found or Samples(), accounts={})


def running(**users: str) -> Samples:
    """Pods by name, each of a user."""
    found = Samples()
    for uid, (name, user) in enumerate(users.items()):
        said = Sighting(str(uid), "hub", name.replace("_", "-"), AT - 60.0, float(AT), float(AT))
        found.sightings[str(uid)] = said
        found.owners[str(uid)] = Owner(user, "/vo.example.org")
    return found


SIZE = row(promql.SIZE, 10 * GIB)
USED = row(promql.USED, 3 * GIB)


def test_the_kubelet_is_believed_of_a_file_system_of_the_claim_s_size() -> None:
    (own,) = read([SIZE], [USED, row(promql.CAPACITY, 9.8 * GIB)])
    assert own.measured == Measured(AT, 3 * GIB, Quality.FILESYSTEM)


def test_the_figure_of_a_whole_share_is_not_the_claim_s() -> None:
    share = [USED, row(promql.CAPACITY, 500 * GIB)]
    (alone,) = read([SIZE], share)
    assert alone.measured is None
    (measured,) = read([SIZE], [*share, folder("/exports/claim-a", 7)])
    assert measured.measured == Measured(AT, 7, Quality.DIRECTORY)


def test_annotations_are_read_in_any_spelling() -> None:
    label = "annotation_hub_jupyter_org_username_conflict2"
    (one,) = read([SIZE, row(promql.ANNOTATIONS, 1, **{label: "alice"})], [])
    assert one.user == "alice"


def test_who_mounts_a_claim_counts_only_where_the_pod_is_a_notebook() -> None:
    mounts = [row(promql.MOUNTS, 1, uid=uid) for uid in ("0", "hub-pod")]
    (one,) = read([SIZE, *mounts], [], running(jupyter_a="alice"))
    assert one.mounters == (Mounter("alice", "/vo.example.org"),)


def test_a_user_who_was_erased_owns_nothing() -> None:
    mounts = row(promql.MOUNTS, 1, uid="0")
    (one,) = read([SIZE, mounts], [], running(jupyter_a=ERASED))
    assert one.mounters == ()


def test_a_folder_without_a_claim_is_of_the_notebook_that_is_named_like_it() -> None:
    found = running(jupyter_alice_40example="alice@example")
    told = read([], [folder("alice-40example", 7), folder("lost+found", 1)], found)
    assert [(one.name, bool(one.mounters)) for one in told] == [
        ("alice-40example", True),
        ("lost+found", False),
    ]


def test_a_claim_that_nothing_lists_is_gone_though_a_kubelet_still_tells_of_it() -> None:
    assert read([], [USED]) == []


def test_what_cannot_be_true_is_set_aside_and_counted() -> None:
    found = Samples()
    (one,) = read([SIZE], [row(promql.USED, -1.0), row(promql.CAPACITY, float("nan"))], found)
    assert one.measured is None
    assert found.rejected.total() == 2


def test_a_name_that_no_claim_and_no_folder_can_have_is_no_volume() -> None:
    """It would be part of a key, which PostgreSQL does not take at any length."""
    name = "x" * 256
    told = [row(promql.SIZE, 1, name), row(promql.SIZE, 1, "")]
    assert read(told, [folder(f"/exports/{name}", 7), row(promql.USED, 1, name)]) == []
