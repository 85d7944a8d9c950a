import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from knox.models import get_token_model

SHORTEST_PREFIX = 6


class Command(BaseCommand):
    help = "Make an API token for a user and print it, once. Also lists and revokes tokens."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--days", type=int, default=90, help="how long it is valid (90)")
        parser.add_argument("--list", action="store_true", help="show the user's tokens instead")
        parser.add_argument("--revoke", metavar="PREFIX", help="revoke the token that starts so")

    def handle(self, *args: Any, **options: Any) -> None:
        user = find_user(options["username"])
        if options["list"]:
            self.list(user)
        elif options["revoke"] is not None:
            self.revoke(user, options["revoke"])
        else:
            self.make(user, options["days"])

    def make(self, user: User, days: int) -> None:
        if not 1 <= days <= 3650:
            raise CommandError("--days must be between 1 and 3650.")
        _, token = get_token_model().objects.create(user, expiry=datetime.timedelta(days=days))
        self.stdout.write(token)  # alone on stdout, for scripts
        note = f"Valid for {days} days. It is not stored and cannot be shown again."
        self.stderr.write(note, str)

    def list(self, user: User) -> None:
        for token in get_token_model().objects.filter(user=user).order_by("created"):
            word = "expires"
            if token.expiry and token.expiry <= timezone.now():
                word = "expired"
            end = f"{token.expiry:%Y-%m-%d %H:%M}" if token.expiry else "never"
            self.stdout.write(
                f"{token.token_key}…  made {token.created:%Y-%m-%d %H:%M}, {word} {end}"
            )

    def revoke(self, user: User, prefix: str) -> None:
        if len(prefix) < SHORTEST_PREFIX:
            raise CommandError(f"Give at least {SHORTEST_PREFIX} characters of the token.")
        found = [
            token
            for token in get_token_model().objects.filter(user=user)
            if token.token_key.startswith(prefix) or prefix.startswith(token.token_key)
        ]
        if not found:
            raise CommandError(f"{user.get_username()} has no token that starts with {prefix!r}.")
        if len(found) > 1:
            raise CommandError(f"{len(found)} tokens start with {prefix!r}: give more of it.")
        found[0].delete()
        self.stdout.write(f"Revoked {found[0].token_key}…")


def find_user(name: str) -> User:
    user = get_user_model().objects.filter(username=name, is_active=True).first()
    if user:
        return user
    names = get_user_model().objects.filter(is_active=True).order_by("username")
    known = ", ".join(names.values_list("username", flat=True)[:20]) or "nobody yet"
    raise CommandError(f"There is no active user {name!r}. There is: {known}.")
