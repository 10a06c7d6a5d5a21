"""A real, headless Chromium that looks at the page: what it shows, what it complains of, what it asks for, and pictures of it."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from tests.integration.program import need, until

T = TypeVar("T")
#: Where pictures go: a CI keeps them.
PICTURES = Path(__file__).parents[2] / "build" / "pictures"
#: It runs as root, asks nobody for anything, and has no processor for graphics.
_SWITCHES = (
    *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"),
    *("disable-component-update", "disable-sync", "disable-dev-shm-usage", "hide-scrollbars", "no-proxy-server"),
)
#: Ratios of brightness of each text to what is behind it that are too small (WCAG 2.2, 1.4.3), with the text.
_FAINT = """
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
const behind = (element) => {
  for (let each = element; each; each = each.parentElement) {
    const colour = parse(getComputedStyle(each).backgroundColor);
    if (colour.length < 4 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const faint = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
  if (!own || !element.checkVisibility() || element.closest("noscript")) continue;
  const style = getComputedStyle(element);
  const [one, other] = [light(parse(style.color)), light(behind(element))].sort((a, b) => b - a);
  const ratio = (one + 0.05) / (other + 0.05);
  const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
  if (ratio < (large ? 3 : 4.5)) faint.push([element.textContent.slice(0, 40), ratio]);
}
return faint;
"""
#: What is missing for those who hear a page or use it with the keyboard.
_FLAWS = """
const flaws = [];
for (const landmark of ["header", "main", "footer", "header nav", "form[role=search]", "h1"]) {
  const found = document.querySelectorAll(landmark).length;
  if (found !== 1) flaws.push(`${landmark}: ${found}`);
}
const levels = [...document.querySelectorAll("h1, h2, h3, h4, h5")].map((each) => Number(each.tagName[1]));
levels.forEach((level, at) => { if (level > (levels[at - 1] ?? 0) + 1) flaws.push(`h${level} behind h${levels[at - 1] ?? 0}`); });
for (const each of document.querySelectorAll("a, button, input, svg, nav, [role=region]")) {
  if (!(each.innerText || each.getAttribute("aria-label") || each.labels?.length)) flaws.push(`no name: ${each.outerHTML.slice(0, 80)}`);
}
for (const each of document.querySelectorAll("table")) {
  if (!each.caption || !each.querySelector("th[scope=col]")) flaws.push(`a table without caption or heads: ${each.innerText.slice(0, 80)}`);
}
for (const each of document.querySelectorAll("img")) if (!each.hasAttribute("alt")) flaws.push("an image without alt");
return flaws;
"""


class Browser:
    """One browser with one tab, on the page of one program at a time."""

    def __init__(self, driver: Chrome) -> None:
        self._driver = driver
        self._base = ""

    def open(self, port: int, view: str = "", host: str = "127.0.0.1") -> None:
        """Load the page of the program with that HTTP port anew, at a view such as `name?q=web.mesos`."""
        self._base = f"http://{host}:{port}"
        self._driver.get("about:blank")
        self._driver.get(f"{self._base}/#/{view}")

    def go(self, view: str) -> None:
        """Another view of the page that is open, as a link leads there."""
        self._driver.execute_script("location.hash = arguments[0]", f"#/{view}")

    def look_again(self) -> None:
        """As if the tab had been hidden and is looked at again: then the page does not wait for its next turn."""
        self.run("document.dispatchEvent(new Event('visibilitychange'))")

    def back(self) -> None:
        self._driver.back()

    @property
    def view(self) -> str:
        return str(self._driver.execute_script("return location.hash.slice(2)"))

    @property
    def title(self) -> str:
        return self._driver.title

    def run(self, script: str, *arguments: object) -> Any:
        """What a script returns, which runs with the rights of a debugger."""
        return self._driver.execute_script(script, *arguments)

    def all(self, selector: str) -> list[WebElement]:
        return self._driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """Texts of all that match, as a person sees them."""
        script = "return [...document.querySelectorAll(arguments[0])].map((each) => each.innerText)"
        return [str(each) for each in self.run(script, selector)]

    def attributes(self, selector: str, name: str) -> list[str]:
        """An attribute of all that match and have it."""
        script = "return [...document.querySelectorAll(arguments[0])].map((each) => each.getAttribute(arguments[1])).filter(Boolean)"
        return [str(each) for each in self.run(script, selector, name)]

    def text(self, selector: str = "main") -> str:
        return " ".join(" ".join(self.texts(selector)).split())

    def shows(self, *texts: str, within: str = "main") -> str:
        """Wait until all of these texts are there; what is there then."""

        def found() -> str:
            there = self.text(within)
            return there if all(text in there for text in texts) else ""

        return until(found, lambda: f"{texts} are not in {within}: {self.text(within)}")

    def until(self, what: Callable[[], T], why: str) -> T:
        return until(what, lambda: f"{why}: {self.text()}")

    def press(self, *keys: str) -> None:
        """Press keys wherever the focus is."""
        self._driver.switch_to.active_element.send_keys(*keys)

    def click(self, selector: str) -> None:
        self.all(selector)[0].click()

    @property
    def focused(self) -> str:
        """What has the focus: tag, id and text."""
        script = "const it = document.activeElement; return `${it.tagName} ${it.id} ${it.innerText ?? ''}`"
        return " ".join(str(self.run(script)).split())

    @contextmanager
    def seen(self, *, width: int = 1280, height: int = 900, dark: bool = False, still: bool = False) -> Iterator[None]:
        """For a while as on such a screen, by somebody who likes it so."""
        self._see(width, height, "dark" if dark else "light", "reduce" if still else "no-preference")
        try:
            yield
        finally:
            self._see(1280, 900, "light", "no-preference")

    def _see(self, width: int, height: int, scheme: str, motion: str) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion},
        ]
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def picture(self, name: str) -> None:
        """Keep a picture of the whole page."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        found = self._driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
        (PICTURES / f"{name}.png").write_bytes(base64.b64decode(found["data"]))

    def flaws(self) -> list[str]:
        """What somebody would miss who hears the page: landmarks, headings in order, names of what can be used, heads of tables."""
        found: list[str] = self.run(_FLAWS)
        return found

    def faint(self) -> list[Any]:
        """Texts without enough contrast, and their ratio."""
        found: list[Any] = self.run(_FAINT)
        return found

    def complaints(self) -> list[str]:
        """What the console has said since the last time."""
        return [each["message"] for each in self._driver.get_log("browser")]

    def asked(self) -> list[str]:
        """The addresses that the browser has asked for since the last time."""
        logged = [json.loads(each["message"])["message"] for each in self._driver.get_log("performance")]
        sent = [each["params"]["request"]["url"] for each in logged if each["method"] == "Network.requestWillBeSent"]
        return [str(url) for url in sent]


@contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """A browser with an empty profile in `folder`; the test is skipped if there is none."""
    options = ChromeOptions()
    options.binary_location = need("chromium")
    for switch in (*_SWITCHES, f"user-data-dir={folder}"):
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # With a path of its own: the library would look for a driver elsewhere.
    driver = Chrome(options=options, service=ChromeService(executable_path=need("chromedriver")))
    try:
        driver.get("about:blank")
        browser = Browser(driver)
        browser.asked()  # What its own first tab is made of is nothing of ours.
        yield browser
    finally:
        driver.quit()
