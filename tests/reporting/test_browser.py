"""The page in a real browser: it loads without an error, its filters work, and hostile texts stay texts."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from test_page import write_run

from infoagent.reporting.page import write_report

CHROMIUM = os.environ.get("INFOAGENT_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium found; set INFOAGENT_CHROMIUM to one")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    place = tmp_path_factory.mktemp("page")
    page = place / "report.html"
    write_report([write_run(place / "run")], page, place / "report.json")
    return page


def browse(page, fragment="", *options):
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            "--v=0",
            f"--user-data-dir={page.parent / 'profile'}",
            *options,
            f"{page.as_uri()}{fragment}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr, done.stderr
    return done.stdout


def rows(dom):
    listed = dom[dom.index('<ul id="rows"') :]
    listed = listed[: listed.index("</ul>")]
    return [int(tokens) for tokens in re.findall(r"· (\d+) tokens", listed)]


def test_it_loads_filters_and_sorts_and_no_text_acts(page):
    whole = browse(page, "", "--dump-dom")
    assert rows(whole) == [5, 6, 7, 8]
    assert "<title>infoagent report</title>" in whole
    assert "owned</title>" not in whole
    assert "&lt;/script&gt;&lt;script&gt;" in whole  # shown as what it is
    assert "<mark>blue</mark>" in whole
    assert "<img" not in whole
    assert "<style>body" not in whole
    chosen = browse(page, "#outcome=wrong&sort=-tokens", "--dump-dom")
    assert rows(chosen) == [8, 6]
    assert "2 of 4 shown" in chosen
    assert chosen.count('aria-current="true"') == 1
    assert rows(browse(page, "#text=text%203&predictor=reader&fact=missing&compressor=nobody", "--dump-dom")) == [8]


def test_a_table_sorts_by_a_click_on_its_head(page):
    """The page's policy forbids scripts of others, so the clicks come in a copy without it."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text())
    click = "<script>document.querySelector('table.sortable th:nth-child(4)').click()</script></body>"
    copy = page.with_name("clicked.html")
    copy.write_text(text.replace("</body>", click))
    dom = browse(copy, "", "--dump-dom")
    table = dom[dom.index('<table class="sortable"') :]
    lengths = re.findall(r"<td>(\d+\.\d) ± 0\.1</td>", table[: table.index("</table>")])
    assert [float(t) for t in lengths] == [200.0, 70.0, 20.0]  # numbers begin with the largest
    assert 'aria-sort="descending"' in table


def test_a_picture_of_it_is_kept(page):
    folder = Path(os.environ.get("INFOAGENT_TEST_ARTIFACTS") or page.parent)
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / "report.png"
    browse(page, "", "--window-size=1280,3000", f"--screenshot={picture}")
    content = picture.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(content[16:20], "big") == 1280
    assert len(content) > 20_000  # an empty page is smaller
