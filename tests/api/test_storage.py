"""Home volumes by API and pages: who sees which, added up, and as a file."""

import csv
import io

import pytest

from accounting.lookup.records import Forbidden
from accounting.lookup.volumes import StorageBy, stored
from accounting.records.identity import Privacy, VoRules
from accounting.store.engine.access import Right, Viewer
from accounting.store.engine.database import Database
from accounting.store.volumes import write_volumes
from tests.api.serving import Running, Serve
from tests.delivery.books import NOVEMBER, RULES
from tests.delivery.volumes import DAY, home, homes, over, seen

READ = frozenset({Right.READ})
ADMIN = Viewer("admin", frozenset(Right), is_admin=True)
MANAGER = Viewer("mia", READ, vos=frozenset({"physics"}), user="mia")
ONE = Viewer("user-1@example.org", READ, user="user-1@example.org")
MASKED = VoRules(privacy={"masked": Privacy.PSEUDONYM}, pseudonym_key=b"k" * 32)
GB = 10**9


@pytest.fixture(scope="module")
def running(serve_all: Serve) -> Running:
    running = serve_all(NOVEMBER.start + 20 * 86400.0)
    fill(running.service.database)
    return running


def fill(database: Database) -> None:
    """Two users' homes for two days, and one of a VO that masks its users."""
    physics = [seen(2, day=day, used=3 * GB)._replace(group="/physics") for day in (DAY, DAY + 1)]
    homes(database, [seen(1), seen(1, day=DAY + 1, used=2 * GB), *physics])
    over(database, DAY + 1)
    masked = home(seen(3, day=DAY + 1)._replace(group="/masked"), MASKED)
    with database.begin() as connection:
        write_volumes(connection, database, [masked])


def used(database: Database, viewer: Viewer, *by: StorageBy, **of: str) -> dict[str, int]:
    found = stored(database, viewer, by, NOVEMBER, **of)
    return {" ".join(row.key.values()): row.used_bytes for row in found}


def test_an_administrator_sees_all_as_of_the_last_day(running: Running) -> None:
    database = running.service.database
    whole = {"vo.example.org": 2 * GB, "physics": 3 * GB, "masked": GB}
    assert used(database, ADMIN, StorageBy.VO) == whole
    by_day = used(database, ADMIN, StorageBy.DAY)
    assert by_day == {"2026-11-10": 4 * GB, "2026-11-11": 6 * GB}


def test_a_manager_sees_their_vo_s_and_a_user_their_own(running: Running) -> None:
    database = running.service.database
    assert used(database, MANAGER, StorageBy.VO) == {"physics": 3 * GB}
    assert used(database, ONE, StorageBy.VOLUME) == {"claim-1": 2 * GB}
    with pytest.raises(Forbidden):
        used(database, ONE, StorageBy.VO, user="user-2@example.org")
    with pytest.raises(Forbidden):
        used(database, MANAGER, StorageBy.VO, vo="masked")
    assert used(database, Viewer("nobody", READ), StorageBy.VO) == {}


def test_whose_name_is_masked_has_no_claim_s_name_either_and_sees_their_own(
    running: Running,
) -> None:
    database = running.service.database
    shown = used(database, ADMIN, StorageBy.USER, StorageBy.VOLUME, vo="masked")
    assert "user-3@" not in str(shown)
    assert "claim-3" not in str(shown)
    name = "user-3@example.org"
    assert list(used(database, Viewer(name, READ, user=name), StorageBy.VO, user=name)) == [
        "masked"
    ]


def test_the_api_answers_json_and_csv_of_the_same(running: Running) -> None:
    answer = running.get("/api/v1/storage?by=user&vo=physics").json()
    assert (answer["month"], answer["by"]) == ("2026-11", ["user"])
    (row,) = answer["rows"]
    assert row == {
        "user": "user-2@example.org",
        "volumes": 1,
        "used_bytes": 3 * GB,
        "allocated_bytes": 20 * 2**30,
        "used_byte_days": 6 * GB,
        "measured_by_file_system": 2,
        "measured_by_directory": 0,
        "only_allocated": 0,
    }
    text = running.get("/api/v1/storage?by=user&vo=physics&format=csv").text
    (line,) = csv.DictReader(io.StringIO(text))
    assert line == {name: str(value) for name, value in row.items()}
    assert running.get("/api/v1/storage?month=2025-01").json()["rows"] == []
    assert RULES.default == "vo.example.org"


def test_the_page_of_usage_shows_them_beside_wall_time(running: Running) -> None:
    page = running.get("/usage?by=vo&first=2026-11&last=2026-11").text
    assert "Home volumes by VO in November 2026" in page
    assert "measured by file system" in page
    assert "claim-1" not in page


def test_the_metrics_tell_what_each_vo_s_volumes_hold_and_nobody_s_name(running: Running) -> None:
    text = running.get("/metrics").text
    assert 'notebooks_accounting_storage_used_bytes{vo="physics"} 3e+09' in text
    assert 'notebooks_accounting_storage_volumes{vo="masked"} 1.0' in text
    assert "user-1" not in text
