"""A schedule's body: checked as the API checks it, when it is saved and each time it runs."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError

from jobs import submit
from jobs.models import Job, Sweep

# The one check there is. It is part of the API's edge, and made of values alone.
from jobs.serializers import SweepIn, check_job
from schedules.models import Schedule

MOST_JOBS = 100_000  # in one sweep of a schedule: they are submitted while everything else waits


def check(what: str, body: Any) -> dict[str, Any]:
    """As `submit` takes it. Raises ValidationError."""
    if what == Schedule.What.JOB:
        return check_job(body)
    sweep = SweepIn(data=body)
    sweep.is_valid(raise_exception=True)
    data: dict[str, Any] = sweep.validated_data
    if (total := submit.size(data["over"], data["mode"])) > MOST_JOBS:
        message = _("Makes %(total)s jobs; a schedule's sweep makes at most %(most)s.")
        raise ValidationError({
            "over": [message % {"total": f"{total:,}", "most": f"{MOST_JOBS:,}"}]
        })  # fmt: skip
    return data


def start(what: str, data: dict[str, Any], owner: Any, now: datetime) -> Job | Sweep:
    """`data` as `check` gave it. Within the caller's transaction."""
    if what == Schedule.What.JOB:
        return submit.submit(data, owner, now)
    return submit.submit_sweep(data, owner, now)


def first_error(error: ValidationError) -> str:
    """One sentence: the field and what is wrong with it."""
    field, message = next(flat(error.detail), ("", str(error)))
    return f"{field}: {message}" if field else message


def flat(detail: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each message with the path of its field: spec.command."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            if name == "non_field_errors":
                name = ""
            yield from flat(inner, ".".join(part for part in (path, str(name)) if part))
    elif isinstance(detail, list):
        for inner in detail:
            yield from flat(inner, path)
    else:
        yield path, str(detail)
