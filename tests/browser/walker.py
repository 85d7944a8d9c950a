"""A person at a browser, in a few verbs."""

import base64
import os
import shutil
from pathlib import Path

from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--window-size=1280,900"]  # fmt: skip


def chromium(profile: Path) -> Chrome | None:
    """A browser; None where there is none."""
    if not BROWSER or not DRIVER:
        return None
    options = ChromeOptions()
    options.binary_location = BROWSER
    for flag in [*FLAGS, f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return Chrome(options=options, service=Service(DRIVER))


class Walker:
    def __init__(self, driver: Chrome, url: str) -> None:
        self.driver, self.url = driver, url

    def go(self, path: str) -> None:
        self.driver.get(self.url + path)

    @property
    def path(self) -> str:
        return self.driver.current_url.removeprefix(self.url)

    def narrow(self, width: int, height: int = 900) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def find(self, css: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def count(self, css: str) -> int:
        return len(self.driver.find_elements(By.CSS_SELECTOR, css))

    def text(self, css: str = "body") -> str:
        return self.find(css).text

    def wait(self, words: str, css: str = "body", seconds: float = 15) -> None:
        """Until these words are there, without a reload."""
        # While a page gives way to the next, looking at it fails in many ways.
        patient = WebDriverWait(self.driver, seconds, 0.1, ignored_exceptions=[WebDriverException])
        patient.until(lambda _: words in self.text(css), f"no {words!r} in {css}")

    def wait_path(self, start: str, seconds: float = 15) -> None:
        patient = WebDriverWait(self.driver, seconds, 0.1)
        patient.until(lambda _: self.path.startswith(start), f"not at {start}: {self.path}")

    def click(self, css: str) -> None:
        found = self.find(css)
        # As far as a person would scroll: not under the bar.
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'nearest'})", found)
        found.click()

    def fill(self, css: str, text: str) -> None:
        field = self.find(css)
        field.clear()
        field.send_keys(text)

    def keys(self, *keys: str) -> None:
        for key in keys:
            self.find("body").send_keys(key)

    def escape(self) -> None:
        self.find("body").send_keys(Keys.ESCAPE)

    def sign_in(self, name: str = "chief", password: str = "a long password") -> None:
        self.go("/login")
        self.fill("#id_username", name)
        self.fill("#id_password", password)
        self.click("button.button-first")
        self.wait_path("/")
        self.wait("Dashboard")

    def too_wide(self) -> list[str]:
        """What sticks out of the page to the right; empty where nothing does."""
        script = """
            if (document.documentElement.scrollWidth <= innerWidth) return [];
            return [...document.querySelectorAll("main *, header *")]
                .filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
                .map((e) => e.tagName + "." + (e.className.baseVal ?? e.className)).slice(0, 5);
        """
        found: list[str] = self.driver.execute_script(script)
        return found

    def squeezed(self) -> list[str]:
        """Cells so narrow that their words stand below each other, letter by letter."""
        script = """
            return [...document.querySelectorAll("main td, main th, main dd, main p")]
                .filter((e) => e.textContent.trim().length > 12 && e.checkVisibility())
                .filter((e) => { const r = e.getBoundingClientRect();
                                 return r.width < 64 && r.height > 100; })
                .map((e) => e.tagName + " " + e.textContent.trim().slice(0, 40)).slice(0, 5);
        """
        found: list[str] = self.driver.execute_script(script)
        return found

    def cut_off(self) -> bool:
        """Are there links of the bar that one has to scroll to?"""
        script = "const n = document.querySelector('.nav'); return n.scrollWidth > n.clientWidth"
        return bool(self.driver.execute_script(script))

    def theme(self, name: str) -> None:
        """light or dark, as if the system asked for it; empty: as it comes."""
        wish = [{"name": "prefers-color-scheme", "value": name}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wish})

    def pale(self) -> list[str]:
        """Words with less contrast than WCAG asks for (4.5; 3 where they are large)."""
        found: list[str] = self.driver.execute_script(PALE)
        return found

    def picture(self, name: str) -> None:
        """Of the whole page, for people to look at, where they asked for it: PICTURES=folder."""
        if folder := os.environ.get("PICTURES"):
            width = self.driver.execute_script("return innerWidth")
            self.narrow(width)
            page = "return document.documentElement.scrollHeight"
            self.narrow(width, max(700, self.driver.execute_script(page)))
            shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {})
            Path(folder, f"{name}.png").write_bytes(base64.b64decode(shot["data"]))
            self.narrow(width)


# Colours are read off a canvas: however they are written, there they are red, green and blue.
PALE = """
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
    const rgba = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3]));
    const behind = (e) => {
        if (!e) return [255, 255, 255];
        const own = rgba(getComputedStyle(e).backgroundColor);
        return own[3] === 1 ? own.slice(0, 3) : over(own, behind(e.parentElement));
    };
    const light = (c) => {
        const [r, g, b] = c.map((v) => v / 255).map(
            (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    for (let node; (node = words.nextNode());) {
        const e = node.parentElement, text = node.textContent.trim();
        const shown = e.checkVisibility({visibilityProperty: true}) && e.getClientRects().length;
        if (!text || !shown || e.closest(":disabled, .visually-hidden, .skip, script")) continue;
        const style = getComputedStyle(e), ground = behind(e);
        const ink = over(rgba(e.closest("svg text") ? style.fill : style.color), ground);
        const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
        const size = parseFloat(style.fontSize), bold = style.fontWeight >= 700;
        const least = size >= 24 || bold && size >= 18.7 ? 3 : 4.5, got = (a + 0.05) / (b + 0.05);
        if (got < least) found.push(`${got.toFixed(2)} "${text.slice(0, 40)}" ${e.className}`);
    }
    return [...new Set(found)].slice(0, 5);
"""
