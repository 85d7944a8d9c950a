"""A schedule's body: checked as the API checks it, when it is saved and each time it runs."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError

from cluster.words import Words, gettext_noop
from jobs import catalog, submit
from jobs.models import File, Job, Sweep

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


def missing(what: str, body: Any) -> Words | None:
    """What it names and is not there any more, in Words: the commonest reason by far."""
    spec = body if what == Schedule.What.JOB else body.get("spec")
    if not isinstance(spec, dict):
        return None
    function, files = spec.get("function"), spec.get("files")
    if isinstance(function, str) and catalog.find(function) is None:
        return Words(gettext_noop("No function %(name)s in tasks/."), name=function)
    for name, digest in files.items() if isinstance(files, dict) else ():
        if not File.objects.filter(pk=str(digest)).exists():
            text = gettext_noop("%(name)s: no such file here; upload it to /api/files first.")
            return Words(text, name=name)
    return None


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
