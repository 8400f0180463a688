"""The rehearsal's page in a real browser, from disk, at the widths of a desk and of a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from nodrop.rehearse.page import render_page
from tests.unit.rehearse.figures import small_figures

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=[*_ARGUMENTS])
        yield found
        found.close()


@pytest.mark.parametrize(("width", "picture"), [(1100, ".wide"), (390, ".narrow")])
def test_it_is_readable_at_every_width(
    browser: Browser, tmp_path: Path, width: int, picture: str
) -> None:
    file = tmp_path / "report.html"
    file.write_text(render_page(small_figures()), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 800})
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda said: trouble.append(said.text))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    assert page.locator("h1").inner_text() == "Requests were lost"
    assert page.locator("h1").evaluate("e => getComputedStyle(e).color") != page.locator(
        "header"
    ).evaluate("e => getComputedStyle(e).backgroundColor")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(picture).is_visible()
    assert page.locator(f"{picture} .mark").count() == 3
    page.locator(f"{picture} .mark").first.click(force=True)
    assert "503 from the proxy" in page.locator("#detail").inner_text()
    assert (
        page.locator("svg:visible text").first.evaluate("e => e.getBoundingClientRect().height")
        >= 8
    )
    assert (trouble, asked) == ([], [file.as_uri()])
    page.close()
