"""The job list's filters, the same words for API and pages. They live in the URL."""

from collections.abc import Iterable
from datetime import datetime

from django.db.models import F, Q
from django.http import QueryDict
from django.utils.translation import gettext as _

from jobs import failures
from jobs.models import Job, JobQuerySet, Kind, State, Sweep
from jobs.parameters import BadParameter, key, moment

ALIASES = {"pending": State.QUEUED, "completed": State.SUCCEEDED}
REASONS = ("scheduled", "retrying", "blocked", "held", "pending", "cancelling")
NAMES = (
    "state", "reason", "kind", "sweep", "spec", "node", "owner", "failure", "q", "since", "until",
)  # fmt: skip


def filtered(params: QueryDict, now: datetime) -> JobQuerySet:
    """The jobs that match; a repeated parameter means any of its values."""
    for name in NAMES:
        if any("\0" in text for text in params.getlist(name)):
            raise BadParameter(name, _("There is a zero byte in it."))
    jobs = Job.objects.all()
    if states := params.getlist("state"):
        jobs = jobs.filter(state__in=[state(word) for word in states])
    if reasons := params.getlist("reason"):
        jobs = with_reason(jobs, reasons, now)
    if kinds := params.getlist("kind"):
        jobs = jobs.filter(spec__kind__in=[kind(word) for word in kinds])
    if numbers := params.getlist("sweep"):
        jobs = of_sweeps(jobs, [number("sweep", text) for text in numbers])
    if numbers := params.getlist("spec"):
        jobs = jobs.filter(spec__in=[number("spec", text) for text in numbers])
    for name, lookup in (("node", "node__name__in"), ("owner", "owner__username__in")):
        if words := params.getlist(name):
            jobs = jobs.filter(**{lookup: words})
    if digests := params.getlist("failure"):
        jobs = failures.with_failure(jobs, [digest(text) for text in digests])
    for name, lookup in (("since", "created_at__gte"), ("until", "created_at__lt")):
        if text := params.get(name):
            jobs = jobs.filter(**{lookup: moment(name, text, name == "until")})
    if text := params.get("q", "").strip():
        jobs = matching(jobs, text)
    return jobs


def of_sweeps(jobs: JobQuerySet, sweeps: list[int]) -> JobQuerySet:
    """Between their first and last numbers, and by those: else an old sweep's newest jobs would be
    looked for among all that came after, or a large one's be read to be sorted."""
    return between(jobs, list(Sweep.objects.filter(pk__in=sweeps)))


def between(jobs: JobQuerySet, sweeps: list[Sweep], after: int = 0) -> JobQuerySet:
    """after: of those with larger numbers; of two such limits SQLite would go by one, any one."""
    by_no_index = jobs.annotate(of_sweep=F("sweep") + 0)
    jobs = by_no_index.filter(
        of_sweep__in=[sweep.pk for sweep in sweeps],
        pk__gt=max(after, min((sweep.jobs_after for sweep in sweeps), default=0)),
    )
    last = [sweep.jobs_until for sweep in sweeps if sweep.jobs_until is not None]
    return jobs.filter(pk__lte=max(last)) if last and len(last) == len(sweeps) else jobs


def with_reason(jobs: JobQuerySet, words: list[str], now: datetime) -> JobQuerySet:
    """Queued or running for one of these reasons: computed, never stored."""
    queued = Q(state=State.QUEUED)
    conditions = {
        "scheduled": queued & Q(run_at__gt=now, tried=0),
        "retrying": queued & Q(run_at__gt=now, tried__gt=0),
        "blocked": queued & Q(waits__gt=0),
        "held": queued & Q(held=True),
        "pending": queued & Q(run_at__lte=now, waits=0, held=False),
        "cancelling": Q(state=State.RUNNING, cancel_requested_at__isnull=False),
    }
    wanted = Q()
    for word in words:
        wanted |= conditions[one_of("reason", word, conditions)]
    return jobs.filter(wanted)


def matching(jobs: JobQuerySet, text: str) -> JobQuerySet:
    """By number, or by a part of the name or of what runs."""
    found = Q(name__icontains=text) | Q(spec__title__icontains=text)
    if (pk := key(text)) is not None:
        found |= Q(pk=pk)
    return jobs.filter(found)


def chosen_states(params: QueryDict) -> list[str]:
    """As the rows have them; words that are no state as they are."""
    return [ALIASES.get(word, word) for word in params.getlist("state") if word]


def state(word: str) -> str:
    return ALIASES.get(word) or one_of("state", word, [s.value for s in State])


def kind(word: str) -> str:
    return one_of("kind", word, [k.value for k in Kind])


def one_of(field: str, word: str, known: Iterable[str]) -> str:
    if word in known:
        return word
    message = _("One of %(known)s, not %(word)s.")
    raise BadParameter(field, message % {"known": ", ".join(known), "word": word})


def number(field: str, text: str) -> int:
    found = key(text)
    if found is None:
        raise BadParameter(field, _("A number, not %(text)s.") % {"text": text})
    return found


def digest(text: str) -> str:
    if not failures.DIGEST.fullmatch(text):
        message = _("16 hexadecimal digits, as GET /api/failures tells them, not %(text)s.")
        raise BadParameter("failure", message % {"text": text[:100]})
    return text
