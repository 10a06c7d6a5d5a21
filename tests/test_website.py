"""What makes a site of the pages, and what finds a fault in one. The site itself is built by `make docs`, in the gate before the tests."""

from pathlib import Path

import pytest
from tests.test_docs import DOCS, PAGES, ROOT, fenced
from tools import website

PAGE = '<!doctype html><h1 id="top">A</h1>{}'


def test_the_index_lists_every_page() -> None:
    listed = website.listed("docs/index.md", (DOCS / "index.md").read_text())
    assert listed[:2] == ["README", "docs/from-zero"]
    assert {f"docs/{page.stem}" for page in DOCS.glob("*.md")} == {each for each in listed if "/" in each} | {
        website.INDEX
    }
    assert len(listed) == len(set(listed))


def test_blocks_are_of_languages_that_are_known() -> None:
    """Sphinx's, or those that tools/website.py names; each of these occurs."""
    assert all(any(fenced(page, language) for page in PAGES) for language in website.PLAIN_LANGUAGES)


def test_the_index_gets_a_list_and_others_none() -> None:
    text = website.for_site("docs/index", "# Pages\n", ["README", "docs/a"], ROOT)
    assert text == "# Pages\n\n```{toctree}\n:hidden:\n\n/README\n/docs/a\n```\n"
    assert website.for_site("docs/a", "# A\n", ["docs/a"], ROOT) == "# A\n"
    assert website.for_site("fuzz/README", "# F\n", ["docs/a"], ROOT) == "---\norphan: true\n---\n\n# F\n"


def test_links_to_folders_become_text() -> None:
    text = "[d](../tests/dns), [f](../Makefile), [e](https://example.com/tests), [p](names.md#records)"
    plain = "d, [f](../Makefile), [e](https://example.com/tests), [p](names.md#records)"
    assert website.for_site("docs/a", text, ["docs/a"], ROOT) == plain


@pytest.mark.parametrize(
    ("html", "complaint"),
    [
        ('<a href="#top">', ""),
        ('<a href="b.html#there">', ""),
        ('<a href="b%2Ehtml">', ""),
        ('<a href="https://example.com/">', ""),
        ('<a href="mailto:a@example.com">', ""),
        ('<img src="data:image/gif;base64,AA==">', ""),
        ('<a href="#other">', "a.html leads to #other, and a.html has no such place"),
        ('<a href="b.html#other">', "a.html leads to b.html#other, and b.html has no such place"),
        ('<a href="c.html">', "a.html leads to c.html, which is not there"),
        ('<script src="c.js"></script>', "a.html leads to c.js, which is not there"),
        ('<script src="https://example.com/c.js"></script>', "a.html fetches https://example.com/c.js"),
        ('<link rel="stylesheet" href="//example.com/c.css">', "a.html fetches //example.com/c.css"),
        ('<img srcset="b.html 1x, http://example.com/i.png 2x">', "a.html fetches http://example.com/i.png"),
        ('<p style="background: url(http://example.com/i.png)">', "a.html fetches http://example.com/i.png"),
    ],
)
def test_faults_of_a_site(html: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(PAGE.format(html))
    (tmp_path / "b.html").write_text(PAGE.format('<p id="there">'))
    assert list(website.complaints(tmp_path)) == [complaint] * bool(complaint)


@pytest.mark.parametrize("css", ['@import "https://example.com/f.css";', "a { src: url('//example.com/f.woff2') }"])
def test_style_sheets_fetch_nothing_from_elsewhere(css: str, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(PAGE.format(""))
    (tmp_path / "a.css").write_text(
        "a { background: url(data:image/gif;base64,AA==) } b { background: url(i.png) }" + css
    )
    assert [each.partition(" fetches ")[0] for each in website.complaints(tmp_path)] == ["a.css"]


def test_a_site_without_pages_is_none(tmp_path: Path) -> None:
    assert list(website.complaints(tmp_path)) == [f"{tmp_path} has no pages: make docs builds them"]
