"""Texts that PostgreSQL cannot keep as they are: both databases come to hold the same."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from accounting.measure.source.prometheus import Source
from accounting.measure.source.texts import fitted
from accounting.store.engine.database import Database
from tests.exactness.polling import Written, poller, written
from tests.measure.answers import Params, Reply, server
from tests.measure.hours import LAST, Good, opened

NUL, HALF, ESCAPED = "a%b\0c", "a%b\ud800c", "a%25b%00c"
LONG = "".join(hashlib.sha256(bytes([n])).hexdigest() for n in range(140))
LABELS = ("user", "group", "flavor", "image", "pod", "uid")
ANNOTATIONS = {
    "user": "annotation_hub_jupyter_org_username",
    "group": "annotation_egi_eu_primary_group",
    "flavor": "annotation_egi_eu_flavor",
}


@contextmanager
def odd(good: Good, spoil: Callable[[dict[str, str]], None]) -> Iterator[str]:
    """The source, of which some labels are changed."""

    def answer(path: str, params: Params, _: str) -> Reply:
        reply = good.answer(path, params)
        body = reply.json()
        if isinstance(body.get("data"), dict):
            for row in body["data"]["result"]:
                spoil(row["metric"])
        return Reply(reply.status_code, json.dumps(body).encode())

    with server(answer) as url:
        yield url


def polled(url: str, database: Database) -> Written:
    with database, Source(url) as source:
        database.ensure_current()
        poller(database, source).poll(LAST)
        return written(database)


@pytest.mark.parametrize("text", [NUL, HALF, LONG], ids=["NUL", "half a pair", "long"])
def test_whatever_labels_say_both_databases_keep_the_same(
    good: Good, postgres: Callable[[], str], tmp_path: Path, text: str
) -> None:
    victims = dict(zip(LABELS, (p.uid for p in good.cluster.counted_pods), strict=False))
    spoiled: set[str] = set()

    def spoil(labels: dict[str, str]) -> None:
        for what, uid in victims.items():
            name = ANNOTATIONS.get(what, what)
            if name in labels and (uid == labels.get("uid") or uid in labels.get("id", "")):
                labels[name] = text
                spoiled.add(what)

    with odd(good, spoil) as url:
        kept = polled(url, opened(tmp_path / "ledger.db"))
        also = polled(url, Database(postgres()))
    assert spoiled == {*LABELS}
    assert kept == also
    assert len(kept.records) > len(victims)
    if text == LONG:
        assert {row["vo"] for row in kept.records.values() if row["group"] == LONG} == {""}
    else:
        row = kept.pods[victims["user"]]
        assert row["user"] == (ESCAPED if text == NUL else "a%25b%ED%A0%80c")
        assert "text escaped" in row["flags"]
        escaped = [uid for uid, one in kept.pods.items() if "text escaped" in one["flags"]]
        assert {victims["user"], victims["group"]} <= {*escaped}
        assert len(escaped) <= len(victims)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a%b", "a%b"),
        ("a%b\0c", ESCAPED),
        ("\ud800%", "%ED%A0%80%25"),
        ("\U0001f600", "\U0001f600"),
        ('\\u0000 "\\', '\\u0000 "\\'),
        ('"\\\0', '"\\%00'),
    ],
)
def test_only_what_no_database_keeps_is_escaped(text: str, kept: str) -> None:
    told = {"first": text, text: [text, 1.5], "last": "plain"}
    wanted = {"first": kept, kept: [kept, 1.5], "last": "plain"}
    assert json.loads(fitted(json.dumps(told).encode())) == wanted


@pytest.mark.parametrize(
    "content", [b"\\u0000", b'"\\u0000', b'{"a": "\\u0000\\x"}', b'\\"\\u0000']
)
def test_what_is_no_json_is_left_to_who_decodes_it(content: bytes) -> None:
    assert fitted(content) == content
