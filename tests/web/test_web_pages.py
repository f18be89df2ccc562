"""The pages in a browser, behind a real JupyterHub: what they say, to whom, how they look."""

import csv
import re
import struct
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from accounting.model.reconciliation import Cause, Line, Reconciliation, Unit, Used
from accounting.model.time import Month
from accounting.store.reconciliations import Reconciliations
from tests.browser import (
    PICTURE_WIDTH,
    PICTURED,
    PICTURES,
    NewPage,
    check_accessible,
    check_fits,
    screenshots,
)
from tests.web import month
from tests.web.conftest import Site

ROOT = Path(__file__).parents[2]


def look_at(page: Page, name: str) -> None:
    """Pictures; nothing clipped at any width; nothing that keeps anyone out in either theme."""
    screenshots(page, f"accounting-{name}")
    check_fits(page)
    check_accessible(page, serious=False)


def titles(page: Page) -> list[str]:
    return page.locator("nav a").all_inner_texts()


def test_an_administrator_sees_at_a_glance_how_things_stand(site: Site, watched: Page) -> None:
    site.open(watched)
    expect(watched.locator("h1")).to_have_text("Almost: 1 thing needs attention")
    assert titles(watched) == ["Overview", "Usage", "Records", "Deliveries", "My usage"]
    findings = watched.locator(".verdict li").all_inner_texts()
    held, said = (
        "1 record is held back (1 invalid).",
        "See each record for the cure, or acknowledge it.",
    )
    assert findings[0] == f"{held} {said}"
    assert findings[1].startswith("The metrics were silent 2 times in the last weeks, 1 d 7 h")
    tiles = watched.locator(".tiles").inner_text()
    assert re.search(r"Measured up to\n2026-11-25 11:58\n1 min ago", tiles)
    assert re.search(r"Host certificate\n\d+ days\nleft", tiles)
    days = watched.locator(".days > li")
    expect(days).to_have_count(35)
    shown = days.evaluate_all("all => all.map(day => day.className)")
    assert shown == [
        *["is-whole"] * 7,
        "is-partly",
        *["is-whole"] * 4,
        "is-partly",
        "is-silent",
        "is-partly",
        *["is-whole"] * 20,
    ]
    sums = site.running.get("/api/v1/summaries?by=vo&month=2026-11").json()["rows"]
    wall = {row["vo"]: str(row["wall_seconds"]) for row in sums}
    table = watched.locator("table tbody tr")
    found = table.evaluate_all(
        "rows => rows.map(row => [row.cells[0].innerText,"
        " row.cells[4].querySelector('data').value])"
    )
    assert dict(found) == wall
    look_at(watched, "overview")


def test_usage_is_drawn_and_tabled_and_can_be_taken_away(site: Site, watched: Page) -> None:
    site.open(watched, "/usage")
    shown = "Chart.getChart(document.querySelector('figure canvas')).data"
    assert watched.evaluate(f"{shown}.labels") == [str(day) for day in range(1, 26)]
    key = watched.locator("figure .legend rect").first
    bars = f"{shown}.datasets[0].backgroundColor"
    expect(key).to_have_css("fill", "rgb(0, 95, 170)")
    watched.wait_for_function(f"{bars} === '#005faa'")
    watched.emulate_media(color_scheme="dark")
    expect(key).to_have_css("fill", "rgb(75, 163, 236)")
    watched.wait_for_function(f"{bars} === '#4ba3ec'")
    look_at(watched, "usage")
    watched.select_option("select[name=first]", "2026-10")
    watched.select_option("select[name=by]", "user")
    watched.select_option("select[name=show]", "gpu")
    watched.fill("input[name=vo]", "physics")
    watched.click("main button")
    expect(watched.locator("h2").first).to_have_text("GPUs by day GPU h")
    assert "first=2026-10&last=2026-11&show=gpu&by=user&vo=physics" in watched.url
    with watched.expect_download() as downloading:
        watched.click("text=Download as CSV")
    with downloading.value.path().open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["user"].partition("-")[0] for row in rows} == {"physics", "bob", "eve\nline"}
    watched.goto(f"{site.url}/usage?first=2025-01")
    expect(watched.get_by_text("Nothing to draw")).to_be_visible()
    look_at(watched, "usage-empty")


def test_records_are_searched_in_the_address_and_turned_page_by_page(
    site: Site, watched: Page
) -> None:
    site.open(watched, "/records")
    seen: list[str] = []
    look_at(watched, "records")
    while True:
        seen += watched.locator("tbody a").evaluate_all("all => all.map(a => a.title)")
        following = watched.get_by_role("link", name="Next page")
        if not following.count():
            break
        with watched.expect_navigation():  # the page that goes is not read again, nor half of one
            following.click()
    pods = {account.pod.uid for account in month.accounts()}
    assert set(seen) == pods
    assert len(seen) == len(pods) + 1  # one ran in two months
    watched.goto(f"{site.url}/records?delivery=held")
    expect(watched.locator("tbody tr")).to_have_count(1)
    watched.goto(f"{site.url}/records?month=November&vo=physics")
    expect(watched.locator(".wrong")).to_have_text("A month, for example 2026-11.")
    assert watched.input_value("input[name=vo]") == "physics"
    watched.goto(f"{site.url}/records?user=nobody-like-this")
    expect(watched.get_by_text("No records")).to_be_visible()
    look_at(watched, "records-empty")


def test_a_record_shows_its_life_its_text_and_what_took_it(site: Site, watched: Page) -> None:
    site.open(watched, f"/records/{month.ADAS_LONG_ONE}")
    expect(watched.locator(".timeline .life")).to_have_count(2)
    expect(watched.locator(".timeline .sent")).to_have_count(2)
    watched.locator("details").first.locator("summary").click()
    text = watched.locator("pre").first.inner_text()
    one = site.running.get(f"/api/v1/records?pod={month.ADAS_LONG_ONE}&format=apel").text
    assert text.strip() in one
    assert "LocalUserId: ada" in text
    expect(watched.get_by_text("The pod's primary group, biology, is a VO's name.")).to_be_visible()
    look_at(watched, "record")
    watched.goto(f"{site.url}/records/{month.HELD}")
    expect(watched.locator(".note.warn")).to_contain_text("ImageId: contains %%")
    look_at(watched, "record-held")
    watched.get_by_label("Why may it stay held?").fill("a test of the operator")
    watched.get_by_role("button", name="Acknowledge").click()
    expect(watched.get_by_text("a test of the operator")).to_contain_text("Acknowledged by boss")
    look_at(watched, "record-acknowledged")
    watched.goto(f"{site.url}/records?delivery=acknowledged")
    expect(watched.locator("tbody tr")).to_have_count(1)
    watched.goto(f"{site.url}/records/{month.HELD}")
    watched.get_by_role("button", name="Take back").click()
    expect(watched.locator(".note.warn")).to_be_visible()
    watched.goto(f"{site.url}/records/{month.ADAS_LONG_ONE}")
    watched.locator("section", has_text="Messages").locator("tbody a").first.click()
    expect(watched.locator("h1")).to_contain_text("Message ")
    look_at(watched, "message")


def test_a_user_sees_what_is_theirs_and_nothing_else(site: Site, watched: Page) -> None:
    site.open(watched, "/", "ada")
    expect(watched).to_have_url(f"{site.url}/my")
    assert titles(watched) == ["My usage", "My notebooks"]
    expect(
        watched.locator("section", has_text="Running now").locator("tbody tr")
    ).not_to_have_count(0)
    expect(watched.get_by_text("Home storage in November 2026")).to_be_visible()
    look_at(watched, "my-usage")
    mine = {account.pod.uid for account in month.accounts() if account.pod.owner.user == "ada"}
    watched.goto(f"{site.url}/records?sort=month")
    seen = set(watched.locator("tbody a").evaluate_all("all => all.map(a => a.title)"))
    assert seen
    assert seen <= mine
    for path in (
        f"/records/{month.BOBS}",
        "/records/0a000000-0000-4000-8000-00000000dead",
        "/deliveries",
        "/deliveries/1",
        "/deliveries/republish",
        "/records?user=bob",
    ):
        answer = watched.goto(f"{site.url}{path}")
        assert answer is not None
        assert answer.status == 403
        assert "bob" not in watched.inner_text("main")
    look_at(watched, "forbidden")


def test_a_manager_sees_their_vo(site: Site, watched: Page) -> None:
    site.open(watched, "/", "mia")
    assert titles(watched) == ["Overview", "Usage", "Records", "My usage"]
    expect(watched.locator("h1")).to_have_text("Yes: everything is measured")
    expect(watched.locator("table tbody tr")).to_have_count(1)
    expect(watched.locator("table tbody th")).to_have_text("physics")
    assert "Outbox" not in watched.inner_text("main")
    look_at(watched, "overview-manager")
    watched.evaluate(
        """home => {
        const form = document.createElement("form"), kind = document.createElement("input");
        Object.assign(form, { method: "post", action: `${home}/runs` });
        Object.assign(kind, { name: "kind", value: "push" });
        form.append(kind, document.querySelector("input[name=csrf_token]").cloneNode());
        document.body.append(form);
        form.submit();
    }""",
        site.url,
    )
    expect(watched.get_by_text("You may not start polls or pushes.")).to_be_visible()
    look_at(watched, "manager-refused")
    watched.goto(f"{site.url}/my")
    expect(watched.get_by_text("No notebook is running")).to_be_visible()
    look_at(watched, "my-usage-empty")


def test_the_pages_work_without_scripts_and_by_keyboard(site: Site, new_page: NewPage) -> None:
    page = new_page(java_script_enabled=False)
    site.open(page, "/usage")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the content")
    page.keyboard.press("Enter")
    expect(page.locator(":focus")).to_have_id("content")
    time = page.goto(f"{site.url}/records") and page.locator("tbody time").first
    assert time
    assert re.fullmatch(r"2026-11-\d\d \d\d:\d\d:\d\d UTC", time.get_attribute("title") or "")


def test_without_scripts_a_chart_is_its_file(site: Site, new_page: NewPage) -> None:
    page = new_page(java_script_enabled=False)
    for user, path in (("boss", "/usage?by=vo&show=cpu"), ("ada", "/my?show=cpu")):
        page.context.clear_cookies()
        site.open(page, path, user)
        for nothing in page.locator("figure > :not(noscript)").all():
            expect(nothing).to_be_hidden()
        screenshots(page, f"accounting-no-scripts-{user}")
        with page.expect_download() as downloading:
            page.get_by_role("link", name="CPU time in h by day").click()
        assert "CPU time in h by day: November 2026" in downloading.value.path().read_text()


@pytest.mark.parametrize("width", [390, 1366])
def test_nothing_moves_when_a_script_draws_a_chart(
    width: int, site: Site, new_page: NewPage
) -> None:
    page = new_page(width=width)
    site.open(page, "/usage?by=user")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/chart.umd.js*", hold)
    page.reload(wait_until="commit")
    places = "all => all.map(one => one.getBoundingClientRect().top)"
    page.locator("footer").wait_for()
    before = page.locator("main section, figure li").evaluate_all(places)
    assert len(before) > 5
    assert not page.evaluate("'Chart' in window")
    for one in held:
        one.continue_()
    expect(page.locator("figure canvas")).to_have_attribute("style", re.compile("display: block"))
    assert page.locator("main section, figure li").evaluate_all(places) == before


def test_times_tell_the_local_time_on_hover(site: Site, new_page: NewPage) -> None:
    page = new_page(timezone_id="Asia/Tokyo", locale="en-GB")
    site.open(page)
    title = page.locator("time").first.get_attribute("title") or ""
    assert "20:58:30" in title
    assert title.endswith("2026-11-25 11:58:30 UTC")


def test_signing_out_ends_the_session(site: Site, watched: Page) -> None:
    site.open(watched, "/my", "ada")
    cookies = [c for c in watched.context.cookies() if c.get("name") == "accounting-session"]
    watched.click("text=Sign out")
    with httpx.Client(cookies={c["name"]: c["value"] for c in cookies}, timeout=60) as client:
        assert client.get(f"{site.running.url}/api/v1/me").status_code == 401


def test_the_api_is_described_in_the_same_look(site: Site, watched: Page) -> None:
    site.open(watched, "/docs")
    expect(watched.locator("h2 code").first).to_have_text("/api/v1/records")
    status = watched.locator("tr", has=watched.locator("th code", has_text="status")).first
    expect(status.locator("td").first).to_have_text("started | completed or null")
    look_at(watched, "reference")


def test_a_comparison_with_the_portal_is_read_at_a_glance(site: Site, watched: Page) -> None:
    agrees = Line("EXAMPLE", "physics", Used(41, 90_000, 900), Used(41, 90_000, 900))
    refused = Line(
        "EXAMPLE",
        "biology",
        Used(20, 36_000, 600),
        Used(24, 72_000, 900),
        Cause.REFUSED,
        "what is missing is what this message said",
        (1,),
    )
    made = Reconciliation(
        Month(2026, 10),
        "",
        month.NOW,
        "portal.csv",
        Unit.HOURS,
        is_partial=False,
        lines=[refused, agrees],
    )
    Reconciliations(site.running.service.database).keep(made)
    site.open(watched, "/deliveries/reconciliation")
    expect(watched.locator(".verdict .badge").first).to_have_text("1 differs")
    expect(watched.locator("tbody tr").nth(1)).to_contain_text("no")
    look_at(watched, "reconciliation")
    watched.click("text=message 1")
    expect(watched.locator("h1")).to_contain_text("Message 1")


def test_every_picture_is_of_a_page_and_in_the_documentation() -> None:
    kept = {path.stem for path in PICTURES.glob("*.png")}
    assert kept == set(PICTURED.values()), "run make pictures"
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert {name for name in kept if f"pictures/{name}.png" not in text} == set()
    for path in PICTURES.glob("*.png"):
        assert path.stat().st_size < 200_000
        assert size_of(path)[0] == PICTURE_WIDTH


def size_of(picture: Path) -> tuple[int, int]:
    """Width and height, from a PNG's header."""
    width, height = struct.unpack(">II", picture.read_bytes()[16:24])
    return width, height


def test_labels_of_a_life_never_overlap(site: Site, watched: Page) -> None:
    site.open(watched, "/records")
    uids = {a.pod.uid for a in month.accounts()}
    for uid in [month.ADAS_LONG_ONE, month.BOBS, month.HELD, *sorted(uids)[:20]]:
        watched.goto(f"{site.url}/records/{uid}")
        for width in (683, 1366):
            watched.set_viewport_size({"width": width, "height": 900})
            boxes = watched.locator(".timeline text").evaluate_all(
                "all => all.filter(t => t.textContent).map(t => t.getBoundingClientRect())"
                ".map(b => [b.left, b.top, b.right, b.bottom])"
            )
            for place, one in enumerate(boxes):
                for other in boxes[place + 1 :]:
                    apart = one[2] <= other[0] or other[2] <= one[0]
                    assert apart or one[3] <= other[1] + 1 or other[3] <= one[1] + 1, uid


def test_a_phone_shows_a_whole_life_and_tells_its_ends_below(site: Site, watched: Page) -> None:
    site.open(watched, "/records")
    watched.goto(f"{site.url}/records/{month.ADAS_LONG_ONE}")
    line, ends = watched.get_by_role("region", name="Time line"), watched.locator(".ends")
    expect(ends).to_be_hidden()
    watched.set_viewport_size({"width": 390, "height": 900})
    assert line.evaluate("all => all.scrollWidth - all.clientWidth") == 0
    expect(ends).to_be_visible()
    expect(ends).to_have_text(
        re.compile(r"Started 2026-\d\d-\d\d \d\d:\d\d, (ended|last seen) 2026")
    )


def test_a_life_is_taken_away_as_a_picture(site: Site, watched: Page) -> None:
    site.open(watched, f"/records/{month.ADAS_LONG_ONE}", "ada")
    for title, begin in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with watched.expect_download() as downloading:
            watched.locator("p.actions a", has_text=title).click()
        assert downloading.value.path().read_bytes().startswith(begin), title
        assert downloading.value.suggested_filename == f"life-{month.ADAS_LONG_ONE}.{title.lower()}"
    for path in (f"/records/{month.BOBS}/life.svg", f"/api/v1/records/{month.BOBS}/counters"):
        answer = watched.goto(f"{site.url}{path}")
        assert answer is not None
        assert answer.status == 403
