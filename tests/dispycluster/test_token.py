import datetime
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone
from knox.models import AuthToken

pytestmark = pytest.mark.django_db


@pytest.fixture
def anna() -> User:
    return User.objects.create_user("anna")


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("token", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue().strip()


def test_a_new_token_is_printed_once_stored_hashed_and_expires(anna: User) -> None:
    token = run("anna", "--days", "7")
    row = AuthToken.objects.get()
    assert len(token) == 64 and token not in (row.digest, row.token_key)
    left = row.expiry - timezone.now()
    assert datetime.timedelta(days=6, hours=23) < left <= datetime.timedelta(days=7)


def test_tokens_are_listed_by_their_first_characters_and_revoked_one_by_one(anna: User) -> None:
    first, second = run("anna"), run("anna")
    assert [line[:15] for line in run("anna", "--list").splitlines()] == [first[:15], second[:15]]
    assert run("anna", "--revoke", first) == f"Revoked {first[:15]}…"
    assert run("anna", "--list").startswith(second[:15])
    with pytest.raises(CommandError, match="no token that starts with"):
        run("anna", "--revoke", first[:10])


def test_an_expired_token_says_so(anna: User) -> None:
    run("anna")
    AuthToken.objects.update(expiry=timezone.now() - datetime.timedelta(days=1))
    assert ", expired " in run("anna", "--list")


def test_somebody_elses_token_is_out_of_reach(anna: User) -> None:
    User.objects.create_user("ben")
    token = run("ben")
    with pytest.raises(CommandError, match="anna has no token"):
        run("anna", "--revoke", token)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nobody"], "There is no active user 'nobody'. There is: anna."),
        (["anna", "--days", "0"], "between 1 and 3650"),
        (["anna", "--revoke", "a"], "at least 6 characters"),
    ],
)
def test_a_wrong_call_is_answered_in_a_sentence(
    anna: User, arguments: list[str], sentence: str
) -> None:
    with pytest.raises(CommandError, match=sentence.replace(".", r"\.")):
        run(*arguments)
