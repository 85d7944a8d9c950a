"""Days and moments in a URL: one reading, one refusal, for jobs, metrics and export alike."""

import contextlib
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from jobs.parameters import BadParameter, moment
from tests.factories import make_user

BERLIN = ZoneInfo("Europe/Berlin")


def at(*parts: int, zone: ZoneInfo = BERLIN) -> datetime:
    return datetime(*parts, tzinfo=zone)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026-11-24", at(2026, 11, 24), at(2026, 11, 25)),
        ("20261124", at(2026, 11, 24), at(2026, 11, 25)),
        ("2026-10-25", at(2026, 10, 25), at(2026, 10, 26)),  # of 25 hours
        (" 2026-11-24T10:00:00Z ", datetime(2026, 11, 24, 10, tzinfo=UTC), None),
        ("2026-11-24T10:00:00.5+02:00", datetime(2026, 11, 24, 8, 0, 0, 500_000, UTC), None),
        ("2026-11-24T10:00:00 02:00", datetime(2026, 11, 24, 8, tzinfo=UTC), None),  # + in a URL
        ("2026-11-24 10:00 0200", datetime(2026, 11, 24, 8, tzinfo=UTC), None),
        ("2026-11-24 10:00", at(2026, 11, 24, 10), None),
        ("2026-11-24T10:00:00", at(2026, 11, 24, 10), None),
        ("1795514400", datetime.fromtimestamp(1795514400, UTC), None),
        ("1795514400.25", datetime.fromtimestamp(1795514400.25, UTC), None),
        ("0", datetime(1970, 1, 1, tzinfo=UTC), None),
    ],
)  # fmt: skip
def test_days_and_moments_are_read(text: str, start: datetime, end: datetime | None) -> None:
    with timezone.override(BERLIN):
        assert moment("from", text) == start
        assert moment("to", text, ends=True) == (end or start)


TEXTS = [("2026-11-24", "2020-11-24"), ("2026-11-24T10:00:00Z", "2020-11-24T10:00:00Z"),
         ("2026-11-24T10:00:00+02:00", "2020-11-24T10:00:00+02:00"),
         ("1795514400", "1595514400")]  # fmt: skip
WRONG = ["", "yesterday", "-1", "-1h", "12:61", "nan", "1e9", "2026-02-30", "2026-03-01T99:00:00Z",
         "9999-12-31", "1969-12-30", "0001-01-01", "9" * 40, "٣",
         "2026-11-24T10:00:00Z and more"]  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_nonsense_is_refused_under_its_name(text: str) -> None:
    with pytest.raises(BadParameter, match="A day like 2026-11-24") as caught:
        moment("since", text)
    assert caught.value.field == "since" and len(str(caught.value)) < 250


@given(st.text(max_size=40), st.booleans())
def test_whatever_stands_there_is_a_moment_or_refused(text: str, ends: bool) -> None:
    with contextlib.suppress(BadParameter):
        assert moment("from", text, ends).tzinfo


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/jobs", "since"), ("/api/jobs", "until"), ("/api/metrics", "from"),
        ("/api/metrics", "to"), ("/api/monitoring/export?what=jobs", "from"),
        ("/api/monitoring/export?what=jobs", "to"),
    ],
)  # fmt: skip
def test_every_range_takes_them_and_refuses_alike(path: str, name: str) -> None:
    client = Client()
    client.force_login(make_user())
    mark = "&" if "?" in path else "?"
    late = name in ("to", "until")
    for text, early in TEXTS:
        answer = client.get(f"{path}{mark}{name}={text if late else early}")
        assert answer.status_code == 200, text
        b"".join(getattr(answer, "streaming_content", []))
    answer = client.get(f"{path}{mark}{name}=yesterday")
    assert answer.status_code == 400
    assert answer.json() == {name: [
        "A day like 2026-11-24, a moment like 2026-11-24T10:00:00Z, or seconds since 1970, "
        "not yesterday."
    ]}  # fmt: skip
