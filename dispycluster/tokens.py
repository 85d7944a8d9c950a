"""Sign-in by token: knox's rules, with the usual case asked in one statement."""

from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from drf_spectacular.contrib.knox_auth_token import KnoxTokenScheme
from knox import auth
from knox.crypto import hash_token
from knox.models import AuthToken

USER = ["id", "is_superuser", "username", "is_staff", "is_active"]  # in the model's order
GOOD = f"""SELECT {", ".join(f"u.{name}" for name in USER)}
    FROM {AuthToken._meta.db_table} t JOIN {User._meta.db_table} u ON u.id = t.user_id
    WHERE t.digest = %s AND u.is_active AND NOT EXISTS (
        SELECT 1 FROM {AuthToken._meta.db_table} old WHERE old.user_id = u.id AND old.expiry < %s
    )"""  # noqa: S608


class TokenAuthentication(auth.TokenAuthentication):
    def authenticate_credentials(self, token: bytes) -> tuple[User, AuthToken]:
        """A token that is good and whose owner has none that expired; else knox looks again, to
        refuse it or to tidy up. Nothing is remembered: a token that was revoked is refused."""
        digest = hash_token(token.decode())
        now = connection.ops.adapt_datetimefield_value(timezone.now())
        with connection.cursor() as cursor:
            cursor.execute(GOOD, [digest, now])
            row = cursor.fetchone()
        if row is None:
            found: tuple[User, AuthToken] = super().authenticate_credentials(token)
            return found
        user = User.from_db(connection.alias, USER, row)
        known = AuthToken.from_db(connection.alias, ["digest", "user_id"], [digest, user.pk])
        return user, known


class TokenScheme(KnoxTokenScheme):
    """How the API's description says it."""

    target_class = "dispycluster.tokens.TokenAuthentication"
