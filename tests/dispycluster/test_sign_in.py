"""Sign-in by token: a revoked, expired or strange one is refused at once."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from knox.models import AuthToken
from rest_framework.test import APIClient

from tests.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def anna() -> User:
    return make_user("anna")


def status(key: str) -> int:
    return int(APIClient().get("/api/jobs", headers={"authorization": f"Bearer {key}"}).status_code)


def test_a_token_is_good_until_it_is_revoked_and_refused_at_once_then(anna: User) -> None:
    token, key = AuthToken.objects.create(anna)
    assert [status(key), status(key)] == [200, 200]
    token.delete()
    assert status(key) == 401


def test_an_expired_token_is_refused_and_forgotten(anna: User) -> None:
    _token, key = AuthToken.objects.create(anna, expiry=timedelta(days=1))
    assert status(key) == 200
    AuthToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    assert status(key) == 401
    assert not AuthToken.objects.exists()


def test_an_owners_expired_tokens_are_tidied_up_when_another_is_used(anna: User) -> None:
    AuthToken.objects.create(anna, expiry=timedelta(days=-1))
    _token, key = AuthToken.objects.create(anna)
    assert status(key) == 200
    assert AuthToken.objects.count() == 1


def test_the_token_of_somebody_who_was_locked_out_is_refused_at_once(anna: User) -> None:
    _token, key = AuthToken.objects.create(anna)
    assert status(key) == 200
    User.objects.update(is_active=False)
    answer = APIClient().get("/api/jobs", headers={"authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()) == (401, {"detail": "User inactive or deleted."})


@pytest.mark.parametrize(
    "change", [lambda key: key[:-1] + "g", lambda key: key[:15], lambda _: "x"]
)
def test_what_merely_resembles_a_token_is_refused(anna: User, change: Any) -> None:
    _token, key = AuthToken.objects.create(anna)
    assert status(change(key)) == 401


def test_the_user_is_who_they_are_today(anna: User) -> None:
    _token, key = AuthToken.objects.create(anna)
    client = APIClient(headers={"authorization": f"Bearer {key}"})
    assert client.post("/api/dispy/cleanup").status_code == 403
    User.objects.update(is_staff=True)
    assert client.post("/api/dispy/cleanup").status_code == 200
