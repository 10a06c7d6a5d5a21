"""The page's files, as a browser gets them, and what must not be in them. What it looks like: tests/integration/test_page.py."""

import re
from html.parser import HTMLParser
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesos_dns.web.files import INDEX, files, is_known

FILES = {each.name: each.read_text() for each in (resources.files("mesos_dns.web") / "page").iterdir()}
MODULES = sorted(name for name in FILES if name.endswith(".js"))
NOT_FOUND = (404, "text/plain; charset=utf-8", "404: Page Not Found")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


async def test_the_page(get):
    reply = await get("/")
    assert reply.short == (200, "text/html; charset=utf-8", FILES[INDEX])
    assert {
        name: reply.headers[name]
        for name in reply.headers
        if name.startswith(("c", "x-", "ref")) and name != "connection"
    } == {
        "content-type": "text/html; charset=utf-8",
        "content-length": str(len(FILES[INDEX].encode())),
        "content-security-policy": POLICY,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "cross-origin-embedder-policy": "require-corp",
        "cache-control": "no-cache",
    }


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("page.css", "text/css; charset=utf-8"),
        ("page.js", "text/javascript; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ],
)
async def test_its_files(get, name, content_type):
    reply = await get(f"/page/{name}")
    assert reply.short == (200, content_type, FILES[name])
    assert reply.headers["content-security-policy"] == POLICY


async def test_a_browser_that_has_a_file_is_told_so(get):
    tag = (await get("/")).headers["etag"]
    reply = await get("/", If_None_Match=f'"x", {tag}')
    assert (reply.status, reply.body, reply.headers["etag"]) == (304, "", tag)
    assert "content-type" not in reply.headers
    assert (await get("/page/page.js", If_None_Match=tag)).status == 200


async def test_head_and_other_methods(get):
    reply = await get("/", "HEAD")
    assert (reply.status, reply.body, reply.headers["content-length"]) == (200, "", str(len(FILES[INDEX].encode())))
    assert (await get("/", "POST")).short == (405, "text/plain; charset=utf-8", "405: Method Not Allowed")


@pytest.mark.parametrize("path", ["/page/none.js", "/page/..%2Fapi.py", "/page/", "/index.html"])
async def test_there_are_no_other_files(get, path):
    reply = await get(path)
    assert reply.status in {301, 404}
    assert "import" not in reply.body


@pytest.mark.parametrize("path", ["/", "/page/page.css", "/page/index.html"])
async def test_without_it_there_is_nothing(get, cluster, path):
    cluster.web_on = False
    assert (await get(path)).short == NOT_FOUND


@given(st.none() | st.text())
def test_any_if_none_match_is_understood(given_tags):
    assert is_known(given_tags, '"a"') in {True, False}


@pytest.mark.parametrize(
    ("header", "known"),
    [
        (None, False),
        ("", False),
        ('"a"', True),
        ('W/"a"', True),
        ('"b" , "a"', True),
        ("*", True),
        ('"ab"', False),
        ("a", False),
    ],
)
def test_if_none_match(header, known):
    assert is_known(header, '"a"') is known


# --- what is in them -----------------------------------------------------------------------------


def test_they_are_small():
    assert sum(len(text.encode()) for text in FILES.values()) < 60_000
    assert files().keys() == FILES.keys()


@pytest.mark.parametrize("name", MODULES)
def test_there_is_no_way_to_make_markup_of_text(name):
    """Names of tasks are chosen by whoever runs them. Elements are built in one place, and text becomes text."""
    text = FILES[name]
    for bad in (
        *("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "createContextualFragment"),
        *("eval(", "Function(", "setHTML", "srcdoc", "javascript:", "localStorage", "document.cookie"),
    ):
        assert bad not in text, bad
    assert ("createElement" in text) == (name == "dom.js")


@pytest.mark.parametrize("name", sorted(FILES))
def test_nothing_leads_elsewhere(name):
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.[\w/.]+", FILES[name]))
    assert addresses <= {"http://www.w3.org/2000/svg"}


class _Parsed(HTMLParser):
    def __init__(self):
        super().__init__()
        self.elements = []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))


def test_the_markup_has_neither_scripts_nor_styles_in_it():
    parsed = _Parsed()
    parsed.feed(FILES[INDEX])
    for tag, attributes in parsed.elements:
        assert tag != "style"
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        assert tag != "script" or attributes["src"].startswith("/page/")
    linked = {attributes[name] for _, attributes in parsed.elements for name in ("src", "href") if name in attributes}
    assert {place.removeprefix("/page/") for place in linked if place.startswith("/page/")} == FILES.keys() - {INDEX}


@pytest.mark.parametrize("name", MODULES)
def test_modules_import_what_is_there(name):
    for names, module in re.findall(r'import \{([^}]+)\} from "\./([^"]+)"', FILES[name]):
        for each in names.split(","):
            word = re.escape(each.strip())
            assert re.search(rf"export (async )?(const|function|class) {word}\b", FILES[module]), each
            assert len(re.findall(rf"\b{word}\b", FILES[name])) > 1, f"{each} is not used"
