"""The stand-in of GreenDIGIT's CIM, asked by a plain client."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from accounting.simulation.judges.cim import Cim, CimStandin
from accounting.simulation.judges.standin import Fault, Trouble

SHOWN = {"email": "site@example.org", "password": "the-publishers-password"}


def event(uid: str, start: str = "2026-11-27T00:00:00Z", hours: float = 12.5) -> dict[str, Any]:
    return {"ExecUnitID": uid, "StartExecTime": start, "EnergyWh": hours, "SiteName": "EXAMPLE"}


@pytest.fixture
def cim() -> Cim:
    return Cim(now=lambda: 1_795_824_000.0)


@pytest.fixture
def client(cim: Cim) -> Iterator[httpx.Client]:
    with CimStandin(cim) as standin, httpx.Client(base_url=standin.base, timeout=60) as made:
        yield made


def signed_in(client: httpx.Client) -> httpx.Client:
    token = client.get("/token", params=SHOWN).json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"
    return client


def test_a_token_needs_the_publishers_password_and_ends(client: httpx.Client, cim: Cim) -> None:
    assert client.get("/token").status_code == 422
    assert client.get("/token", params={**SHOWN, "email": "x@example.org"}).status_code == 403
    assert client.get("/token", params={**SHOWN, "password": "wrong"}).status_code == 400
    assert client.get("/cim-records").status_code == 401
    assert signed_in(client).get("/cim-records").status_code == 200
    cim.tokens = dict.fromkeys(cim.tokens, 0.0)
    assert client.get("/cim-records").status_code == 401


def test_a_submission_is_a_document_and_the_same_again_is_another(
    client: httpx.Client, cim: Cim
) -> None:
    signed_in(client)
    first, second = (client.post("/submit", json=[event("a"), event("b")]) for _ in range(2))
    assert first.json()["stored"]["ok"]
    assert first.json()["stored"]["inserted_id"] != second.json()["stored"]["inserted_id"]
    assert len(cim.documents) == 2
    assert cim.watt_hours()["a", "2026-11-27T00:00:00Z"] == 25.0
    assert client.get("/cim-records/count").json()["count"] == 2
    assert client.post("/submit-cim", json=[]).status_code == 410


def test_documents_are_found_by_keys_and_times_anywhere_in_them_in_pages(
    client: httpx.Client,
) -> None:
    signed_in(client)
    for day in (26, 27):
        client.post("/submit", json=[event("a", f"2026-11-{day}T00:00:00Z"), event(f"b{day}")])
    found = client.get("/cim-records", params=[("filter_key", "execunitid=B26")]).json()
    assert [one["body"][1]["ExecUnitID"] for one in found["records"]] == ["b26"]
    times = {"start": "2026-11-26T00:00:00Z", "end": "2026-11-26T12:00:00Z"}
    assert client.get("/cim-records", params=times).json()["returned"] == 1
    assert client.get("/cim-records", params={"start": times["start"]}).status_code == 400
    pages = [client.get("/cim-records", params={"limit": 1, "page": n}).json() for n in (1, 2, 3)]
    assert [page["returned"] for page in pages] == [1, 1, 0]
    assert pages[0]["records"][0]["body"][1]["ExecUnitID"] == "b27"


def test_who_has_no_role_or_sends_too_much_or_nonsense_is_refused(
    client: httpx.Client, cim: Cim
) -> None:
    signed_in(client)
    assert client.post("/submit", content=b"{").status_code == 500
    cim.most_bytes = 10
    assert client.post("/submit", json=[event("a")]).status_code == 413
    cim.most_bytes, cim.may_publish = 10_000, False
    assert client.post("/submit", json=[event("a")]).status_code == 403
    assert cim.documents == []


def test_an_answer_is_lost_after_the_document_was_stored_or_nothing_is_done(
    client: httpx.Client, cim: Cim
) -> None:
    signed_in(client)
    for what in (Fault.CLOSE, Fault.LOSE_ANSWER):
        cim.troubles.append(Trouble(what, "POST"))
        with pytest.raises(httpx.TransportError):
            client.post("/submit", json=[event("a")])
        assert len(cim.documents) == (what is Fault.LOSE_ANSWER)
