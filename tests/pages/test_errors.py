"""What a request gets when something is broken underneath."""

import errno
from collections.abc import Callable
from functools import partial

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client

from monitoring import views


@pytest.fixture
def page(client: Client, alice: User) -> Client:
    client.raise_request_exception = False
    client.force_login(alice)
    return client


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (RuntimeError, 500, "Something broke"),
        (OperationalError, 503, "database does not answer"),
        (partial(OSError, errno.ENOSPC), 507, "No space left"),
    ],
)
def test_a_broken_page_says_so_in_plain_words(
    page: Client,
    monkeypatch: pytest.MonkeyPatch,
    error: Callable[[str], Exception],
    status: int,
    words: str,
) -> None:
    def broken(*args: object) -> None:
        raise error("secret detail")

    monkeypatch.setattr(views, "picture", broken)
    response = page.get("/")
    assert response.status_code == status
    assert words in response.content.decode()
    assert "secret" not in response.content.decode()
    assert response.has_header("Retry-After") == (status == 503)


@pytest.mark.django_db
def test_a_form_without_its_token_is_refused_in_plain_words(alice: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    response = strict.post("/submit", {"command": "x"})
    assert response.status_code == 403
    assert "out of date" in response.content.decode()
