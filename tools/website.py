"""What makes a site of the pages in docs/, beyond what the pages say; and whether it is whole.

python -m tools.website FOLDER    complains of each link in a site that leads nowhere, and of what it would fetch from elsewhere

Sphinx imports this, too, in an environment of its own (docs/conf.py): so it needs nothing but the standard library.
"""

import json
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from tools.reference import reference

ROOT: Final = Path(__file__).parent.parent
VERSION: Final = re.findall(r'__version__ = "(.*)"', (ROOT / "src" / "mesos_dns" / "__init__.py").read_text())[0]
#: The page whose table lists all others, in the order of the site.
INDEX: Final = "docs/index"
#: The page of the HTTP API, and its description for programs, which becomes a reference below it.
API: Final = "docs/http-api"
DESCRIPTION: Final = "docs/openapi.json"
#: Languages of blocks that Pygments does not know: configurations of resolvers, which tests try.
PLAIN_LANGUAGES: Final = ("unbound", "named", "dnsmasq", "knot", "pdns", "pdns-lua")
#: Which attributes make a browser fetch something by itself.
FETCHED: Final = {
    "audio": {"src"},
    "embed": {"src"},
    "iframe": {"src"},
    "img": {"src", "srcset"},
    "input": {"src"},
    "link": {"href"},
    "object": {"data"},
    "script": {"src"},
    "source": {"src", "srcset"},
    "video": {"src", "poster"},
}
_LINK: Final = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")


# --- for Sphinx ----------------------------------------------------------------------------------


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx once it has read docs/conf.py."""
    from pygments.lexers.special import TextLexer  # type: ignore[import-untyped, unused-ignore] # noqa: PLC0415 - Sphinx brings it

    for language in PLAIN_LANGUAGES:
        app.add_lexer(language, TextLexer)
    app.connect("source-read", on_source)
    app.connect("build-finished", on_end)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def on_source(app: Any, page: str, content: list[str]) -> None:
    """Sphinx has read a page, and `content` holds its text alone: alter it there."""
    top = Path(app.srcdir)
    content[0] = for_site(page, content[0], listed(f"{INDEX}.md", (top / f"{INDEX}.md").read_text()), top)


def on_end(app: Any, error: Exception | None) -> None:
    """Whoever opens the folder of the site is led to its first page."""
    if error is None:
        to = f"{INDEX}.html"
        text = f'<!doctype html><title>Mesos-DNS</title><meta http-equiv="refresh" content="0; url={to}"><a href="{to}">Mesos-DNS</a>\n'
        (Path(app.outdir) / "index.html").write_text(text)


def listed(index: str, text: str) -> list[str]:
    """The pages that stand in the first column of the tables of this page, as names of Sphinx: from the top, without `.md`."""
    links = re.findall(r"^\| \[[^\]]*\]\(([^)#\s]+)\.md\)", text, re.MULTILINE)
    return [_normal(str(PurePosixPath(index).parent / link)) for link in links]


def for_site(page: str, text: str, pages: list[str], top: Path) -> str:
    """What Sphinx gets to read: the index with its list of `pages`, others without complaint, no links to folders, a reference of the HTTP API."""

    def plain_if_folder(link: re.Match[str]) -> str:
        path = (top / page).parent / link[2]
        return link[1] if "://" not in link[2] and path.is_dir() else link[0]

    text = _LINK.sub(plain_if_folder, text)
    if page == API:
        text += "\n" + reference(json.loads((top / DESCRIPTION).read_text()))
    if page == INDEX:
        return text + "\n```{toctree}\n:hidden:\n\n" + "".join(f"/{each}\n" for each in pages) + "```\n"
    return text if page in pages else f"---\norphan: true\n---\n\n{text}"


def _normal(path: str) -> str:
    """`docs/../README` is README."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


# --- whether it is whole ---------------------------------------------------------------------------


class Page(NamedTuple):
    """What matters of one page of HTML."""

    #: Where its links lead, and what it fetches from here.
    targets: list[str]
    #: Its places that links may lead to.
    anchors: set[str]
    #: What a browser would fetch from elsewhere.
    foreign: list[str]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page([], set(), [])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value}
        self.page.anchors.update(given[name] for name in ("id", "name") if name in given)
        self.page.foreign.extend(elsewhere(given.get("style", "")))
        for name in FETCHED.get(tag, set()) & given.keys():
            for part in given[name].split(",") if name == "srcset" else [given[name]]:
                words = part.split()
                self._fetched(words[0])
        if tag == "a" and "href" in given and not _is_elsewhere(given["href"]):
            self.page.targets.append(given["href"])

    def _fetched(self, target: str) -> None:
        if _is_elsewhere(target):
            self.page.foreign.append(target)
        elif not target.startswith("data:"):
            self.page.targets.append(target)


def read(html: str) -> Page:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.page


def elsewhere(css: str) -> list[str]:
    """What a style sheet would have fetched from other servers."""
    found = re.findall(r"""(?:url\(\s*|@import\s+)["']?([^"')\s;]+)""", css)
    return [each for each in found if _is_elsewhere(each)]


def _is_elsewhere(target: str) -> bool:
    parts = urlsplit(target)
    return bool(parts.netloc) or parts.scheme not in {"", "data"}


def complaints(site: Path) -> Iterator[str]:
    """What is wrong with a built site, a line each."""
    pages = {file: read(file.read_text()) for file in sorted(site.rglob("*.html"))}
    if not pages:
        yield f"{site} has no pages: make docs builds them"
    for file, page in pages.items():
        here = file.relative_to(site)
        yield from (f"{here} fetches {each}" for each in page.foreign)
        for target in page.targets:
            parts = urlsplit(target)
            to = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            if not to.exists():
                yield f"{here} leads to {target}, which is not there"
            elif parts.fragment and to in pages and unquote(parts.fragment) not in pages[to].anchors:
                yield f"{here} leads to {target}, and {to.name} has no such place"
    for file in sorted(site.rglob("*.css")):
        yield from (f"{file.relative_to(site)} fetches {each}" for each in elsewhere(file.read_text()))


def main() -> None:
    found = list(complaints(Path(sys.argv[1]).resolve()))
    print("\n".join(found), file=sys.stderr, end="\n" if found else "")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
