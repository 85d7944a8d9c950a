from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cluster.models import Node
from tests.factories import make_node, make_user

Counted = Callable[[], AbstractContextManager[list[str]]]


@pytest.fixture
def now() -> datetime:
    """The pages look at the clock themselves."""
    return timezone.now()


@pytest.fixture
def alice(db: None) -> User:
    return make_user("alice")


@pytest.fixture
def chief(db: None) -> User:
    return make_user("chief", is_staff=True, is_superuser=True)


@pytest.fixture
def page(client: Client, alice: User) -> Client:
    """A client signed in as alice."""
    client.force_login(alice)
    return client


@pytest.fixture
def staff(chief: User) -> Client:
    found = Client()
    found.force_login(chief)
    return found


@pytest.fixture
def node(db: None, now: datetime) -> Node:
    return make_node("pi-1", slots=4, last_seen_at=now, version="4.15.2")


@pytest.fixture
def counted() -> Counted:
    """The statements made inside."""

    @contextmanager
    def count() -> Iterator[list[str]]:
        statements: list[str] = []
        with CaptureQueriesContext(connection) as captured:
            yield statements
        statements += [query["sql"] for query in captured.captured_queries]

    return count
