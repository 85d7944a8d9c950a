from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer
from selenium import webdriver

from tests.browser import walker
from tests.browser.walker import Walker
from tests.factories import make_user


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All in one process, one after the other: a browser is heavy."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))
            item.add_marker(pytest.mark.django_db(transaction=True))


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    driver = walker.chromium(tmp_path_factory.mktemp("chromium"))
    if driver is None:
        pytest.skip("no chromium with its driver here: apt-get install chromium chromium-driver")
    yield driver
    driver.quit()


@pytest.fixture
def chief() -> User:
    return make_user("chief", is_staff=True, is_superuser=True)


@pytest.fixture
def walk(chromium: webdriver.Chrome, live_server: LiveServer, chief: User) -> Iterator[Walker]:
    """A browser at our door; what it complains about fails the test."""
    chromium.execute_cdp_cmd("Network.clearBrowserCookies", {})
    chromium.get_log("browser")
    found = Walker(chromium, live_server.url)
    found.narrow(1280)
    yield found
    complaints = [
        entry["message"] for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"
    ]
    chromium.get("about:blank")  # no request in flight while the database is emptied
    assert not complaints
