from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.models import User

from schedules import keeping
from schedules.models import Schedule
from schedules.serializers import ScheduleIn
from tests.factories import make_user

Make = Callable[..., Schedule]


@pytest.fixture
def alice(db: None) -> User:
    return make_user("alice")


@pytest.fixture
def make(alice: User, now: datetime) -> Make:
    """A schedule, by the same door as in life."""

    def made(at: datetime = now, **values: Any) -> Schedule:
        owner = values.pop("owner", alice)
        values.setdefault("name", f"schedule {Schedule.objects.count() + 1}")
        if not values.keys() & {"job", "sweep"}:
            values["job"] = {"kind": "command", "command": ["true"]}
        if not values.keys() & {"cron", "every_seconds"}:
            values["cron"] = "0 * * * *"
        checked = ScheduleIn(data=values, context={"owner": owner})
        checked.is_valid(raise_exception=True)
        return keeping.create(checked.validated_data, owner, at)

    return made
