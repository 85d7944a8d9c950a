from collections.abc import Callable
from datetime import datetime

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from jobs.dispatcher import Desk, run_once
from jobs.health import Health
from tests.factories import hold_lease, make_user
from tests.fakes import FakeEngine

Pass = Callable[[datetime], int]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def desk(db: None, now: datetime) -> Desk:
    return Desk(hold_lease(now), Health(now))


@pytest.fixture
def one_pass(engine: FakeEngine, desk: Desk) -> Pass:
    return lambda now: run_once(engine, desk, now)


@pytest.fixture
def alice(db: None) -> User:
    return make_user("alice")


@pytest.fixture
def client(alice: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(alice)
    return client
