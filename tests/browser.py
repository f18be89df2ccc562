"""A real browser for tests: Debian's Chromium through Playwright, screenshots and axe-core."""

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parents[1]
SCREENSHOTS = ROOT / "var" / "screenshots"
AXE = ROOT / "tests" / "node" / "node_modules" / "axe-core" / "axe.min.js"
WIDTHS = {"phone": 390, "half": 683, "laptop": 1366, "wide": 3840}
HEIGHT = 900
THEMES: tuple["Theme", ...] = ("light", "dark")
ALL_VIEWS: tuple["View", ...] = tuple((theme, width) for theme in THEMES for width in WIDTHS)
# All take half a second each: two are enough to see that a page can be drawn.
VIEWS: tuple["View", ...] = (
    ALL_VIEWS if os.environ.get("ALL_SCREENSHOTS") else (("light", "laptop"), ("dark", "phone"))
)
PICTURES = ROOT / "docs" / "pictures"
PICTURE_WIDTH = 1200
PICTURED = {
    "accounting-overview": "overview",
    "accounting-usage": "usage",
    "accounting-records": "records",
    "accounting-record": "record",
    "accounting-gaps": "gaps",
    "accounting-deliveries": "deliveries",
    "accounting-message": "message",
    "accounting-republish-compared": "republish",
    "accounting-reconciliation": "reconciliation",
    "accounting-my-usage": "my-usage",
    "hub-login": "hub-login",
    "hub-egi-home": "hub-home",
    "hub-egi-spawn": "hub-spawn",
    "hub-egi-pending": "hub-pending",
    "hub-egi-tokens": "hub-tokens",
    "lab-share": "lab-share",
    "monitor-status": "monitor",
}
"""Pages of which the documentation has a picture: the name of the screenshots → the picture's."""
WAIT_MILLISECONDS = 60_000
_ARGUMENTS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]

Theme = Literal["light", "dark"]
View = tuple[Theme, str]
NewPage = Callable[..., Page]


@contextmanager
def run_chromium(*arguments: str) -> Iterator[Browser]:
    """Chromium until the end of the block.

    The one without windows is taken, if it is there: it draws a page in half the processor time.
    """
    program = shutil.which("chromium-headless-shell") or "/usr/bin/chromium"
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    expect.set_options(timeout=WAIT_MILLISECONDS)  # a context's timeout is not for these
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=program, args=[*_ARGUMENTS, *as_root, *arguments]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for a module's tests.

    Playwright keeps an event loop running in the thread until it ends, so that `asyncio.run` fails
    meanwhile: hence no longer than for a module.
    """
    with run_chromium() as chromium:
        yield chromium


@pytest.fixture
def new_page(browser: Browser) -> Iterator[NewPage]:
    """Makes pages, each in a fresh context (its own cookies): `new_page(theme, width)`."""
    with ExitStack() as contexts:

        def new(theme: Theme = "light", width: int = WIDTHS["laptop"], **options: Any) -> Page:
            context = browser.new_context(
                color_scheme=theme, viewport={"width": width, "height": HEIGHT}, **options
            )
            contexts.callback(context.close)
            context.set_default_timeout(WAIT_MILLISECONDS)
            return context.new_page()

        yield new


@pytest.fixture
def page(new_page: NewPage) -> Page:
    """A page as wide as a desktop's, in the light theme."""
    return new_page()


def screenshots(page: Page, name: str, views: Sequence[View] = VIEWS) -> list[Path]:
    """Pictures of the page as it stands: `NAME-THEME-WIDTH.png`; of some pages also for the docs.

    The page keeps its state; it is as it was before when this returns.
    """
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^a-z0-9-]+", "-", name.lower())
    before = page.viewport_size
    taken = []
    for theme, width_name in views:
        page.emulate_media(color_scheme=theme)
        page.set_viewport_size({"width": WIDTHS[width_name], "height": HEIGHT})
        path = SCREENSHOTS / f"{stem}-{theme}-{width_name}.png"
        page.screenshot(path=path, full_page=True)
        taken.append(path)
    page.emulate_media(color_scheme="light")
    if stem in PICTURED:
        _keep_picture(page, PICTURED[stem])
    if before:
        page.set_viewport_size(before)
    return taken


def _keep_picture(page: Page, name: str) -> None:
    """A picture for the documentation, if it has none; delete one to have it taken anew."""
    path = PICTURES / f"{name}.png"
    page.set_viewport_size({"width": PICTURE_WIDTH, "height": 1320 if name == "usage" else 820})
    page.evaluate("window.scrollTo(0, 0)")
    taken = page.screenshot()
    if not path.exists():
        path.write_bytes(taken)


def violations(page: Page, *, serious: bool = True) -> list[str]:
    """What axe-core finds on the page: rule, help and where, a line each.

    Args:
        page: the page.
        serious: only what it calls serious or critical.
    """
    if not page.evaluate("typeof window.axe === 'object'"):
        page.evaluate(
            AXE.read_text(encoding="utf-8")
        )  # as a debugger would: no page policy stops it
    found = page.evaluate("async () => (await axe.run()).violations")
    return [
        f"{violation['id']}: {violation['help']} at {node['html'][:120]}"
        for violation in found
        if not serious or violation["impact"] in {"serious", "critical"}
        for node in violation["nodes"]
    ]


def check_accessible(page: Page, *, serious: bool = True) -> None:
    """Fail with axe-core's findings, or only serious and critical ones, in both themes."""
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        found = violations(page, serious=serious)
        assert not found, f"{page.url} in the {theme} theme:\n" + "\n".join(found)
    page.emulate_media(color_scheme="light")


_HIDDEN_FIGURES = """[...document.querySelectorAll('.scroll:has(table.stack)')]
    .filter(part => part.scrollWidth > part.clientWidth).map(part => part.ariaLabel)"""


def check_fits(page: Page) -> None:
    """Fail where the page, or on a phone a table's rows, must be scrolled sideways."""
    before = page.viewport_size
    for name, width in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": HEIGHT})
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{page.url} is {wide} px wide on a {name} of {width} px"
        if name == "phone":
            assert page.evaluate(_HIDDEN_FIGURES) == [], page.url
    if before:
        page.set_viewport_size(before)
