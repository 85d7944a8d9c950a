"""Somebody who invites, somebody who comes, and no connection to anybody else."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.utils import translation

from cluster.joining.views import progress
from tests.factories import make_user


@pytest.fixture(autouse=True)
def nobody_came_before() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture(autouse=True)
def in_english() -> Iterator[None]:
    """Whatever language a page was asked for before; nor is ours left to the next test."""
    with translation.override("en"):
        yield


@pytest.fixture(autouse=True)
def nobody_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "cannot_connect", lambda address, port: "refused")


@pytest.fixture
def chief(db: None) -> User:
    return make_user("chief", is_staff=True)


@pytest.fixture
def staff(chief: User) -> Client:
    client = Client()
    client.force_login(chief)
    return client


@pytest.fixture
def node() -> Client:
    """A machine: no session."""
    return Client(REMOTE_ADDR="192.0.2.9")
