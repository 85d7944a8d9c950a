"""Rows written past the ORM read back as the ORM would have written them."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from cluster.models import Node
from jobs.rows import update_rows
from tests.factories import make_node

pytestmark = pytest.mark.django_db
WHEN = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize("when", [WHEN, WHEN.astimezone(timezone(timedelta(hours=2))), None])
@pytest.mark.parametrize("text", ["", 'it\'s 5 % "ü" \\ \n', "💥"])
@pytest.mark.parametrize("speed", [0.1, 1.0123456789e-05, None])
def test_update_rows(when: datetime | None, text: str, speed: float | None) -> None:
    changed, left = make_node("a"), make_node("b")
    names = ["last_claim_at", "breaker_reason", "speed", "draining", "slots"]
    update_rows(Node, names, [(when, text, speed, True, 7, changed.pk)])
    changed.refresh_from_db()
    assert (changed.last_claim_at, changed.breaker_reason, changed.draining) == (when, text, True)
    assert changed.slots == 7
    assert changed.speed == (None if speed is None else pytest.approx(speed, rel=1e-12))
    assert Node.objects.filter(last_claim_at=when, pk=changed.pk).exists()
    left.refresh_from_db()
    assert not left.draining


def test_no_rows_are_no_statement() -> None:
    update_rows(Node, ["slots"], [])


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(TypeError, match="surrogates not allowed"):
        update_rows(Node, ["breaker_reason"], [("\ud800", make_node("a").pk)])


@pytest.mark.parametrize("value", [{"gpu"}, Decimal("1.5"), b"x", object()])
def test_a_value_of_no_known_type_is_refused_and_not_written_as_text(value: object) -> None:
    row = make_node("a")
    with pytest.raises(TypeError):
        update_rows(Node, ["breaker_reason"], [(value, row.pk)])
    row.refresh_from_db()
    assert row.breaker_reason == ""
