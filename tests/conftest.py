"""What all tests share: settings that suit a test database, and the time as a value."""

import datetime

import pytest
from django.conf import settings
from django.utils import translation


def pytest_configure() -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        # No collectstatic before the tests.
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    settings.STATIC_ROOT.mkdir(exist_ok=True)
    if settings.SQLITE:
        # A file, as in life: threads and processes see the same locks. Only the fsync is left out.
        database = settings.DATABASES["default"]
        database.setdefault("TEST", {})["NAME"] = str(settings.HOME / "test.sqlite3")
        options = database["OPTIONS"]
        options["init_command"] = options["init_command"].replace(
            "synchronous=FULL", "synchronous=OFF"
        )


@pytest.fixture
def now() -> datetime.datetime:
    return datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    """Each test has nodes, specs and a language of its own."""
    from jobs import api, dispatcher

    api.recent.good_until = 0.0
    dispatcher.body_of.cache_clear()
    translation.deactivate()  # a page in French leaves it behind
