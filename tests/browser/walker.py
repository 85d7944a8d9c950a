"""A person at a browser, in a few verbs."""

from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait


class Walker:
    def __init__(self, driver: Chrome, url: str) -> None:
        self.driver, self.url = driver, url

    def go(self, path: str) -> None:
        self.driver.get(self.url + path)

    @property
    def path(self) -> str:
        return self.driver.current_url.removeprefix(self.url)

    def narrow(self, width: int) -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
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

    def sign_in(self, name: str = "chief") -> None:
        self.go("/login")
        self.fill("#id_username", name)
        self.fill("#id_password", "a long password")
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
