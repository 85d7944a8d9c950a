"""Advice in the reader's language: what, why, and what would change."""

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, ngettext_lazy

from cluster.wording import told
from jobs.amounts import UNKNOWN, size
from monitoring.amounts import length, one_or_more

Facts = Mapping[str, Any]
Sentences = tuple[str, str, str]  # what, why, what would change

KINDS = {
    "strategy": gettext_lazy("Strategy"),
    "add_workers": gettext_lazy("One node more"),
    "remove_worker": gettext_lazy("One node less"),
    "clean_up": gettext_lazy("Clean up"),
    "rebalance": gettext_lazy("Rebalance"),
    "resume": gettext_lazy("Rebalance"),
    "right_size": gettext_lazy("Right size"),
}
COLUMNS = {
    "case": gettext_lazy("Case"),
    "makespan": gettext_lazy("First arrival to last end"),
    "open_seconds": gettext_lazy("Time with open work"),
    "mean_turnaround": gettext_lazy("Mean time to the result"),
    "p95_wait": gettext_lazy("Wait, 95 % below"),
    "utilisation": gettext_lazy("Slots in use"),
    "gain": gettext_lazy("Gain"),
    "old_jobs": gettext_lazy("Old jobs"),
    "older_than_days": gettext_lazy("Older than"),
    "bytes": gettext_lazy("Written by them, about"),
    "node": gettext_lazy("Node"),
    "slots": gettext_lazy("Slots"),
    "queued": gettext_lazy("Waiting jobs"),
    "free_slots": gettext_lazy("Free slots"),
    "why": gettext_lazy("Why not there"),
    "asked_for": gettext_lazy("What"),
    "asked": gettext_lazy("Asked for"),
    "used_p95": gettext_lazy("Used, 95 % below"),
    "runs": gettext_lazy("Runs"),
    "timed_out": gettext_lazy("Timed out"),
    "wanted": gettext_lazy("Better"),
}
CASES = {
    "present": gettext_lazy("as it is"),
    "more": gettext_lazy("one node more"),
    "less": gettext_lazy("one node less"),
    "memory_mb": gettext_lazy("memory in MB"),
    "slots": gettext_lazy("slots"),
    "timeout_seconds": gettext_lazy("time limit in seconds"),
}
FIELDS = {"memory_mb": "needs.memory_mb", "slots": "needs.slots"}  # as a job is submitted
LENGTHS = ("makespan", "open_seconds", "mean_turnaround", "p95_wait")


def kind(name: str) -> str:
    return str(KINDS.get(name, name))


def sentences(one: Facts) -> Sentences:
    return WORDS[one["kind"]](one)


def duration(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 0.1 else length(seconds)


def share(value: float | None) -> str:
    """Of a whole, in per cent."""
    if value is None:
        return UNKNOWN
    percent = 100 * value
    return f"{percent:.1f} %" if abs(percent) < 9.95 else f"{percent:.0f} %"


def span(one: Facts) -> str:
    gain = one["gain"]
    words = _("%(value)s (90 %% of the resampled histories: %(low)s to %(high)s)")
    return words % {"value": share(gain["value"]), "low": share(gain["low"]),
                    "high": share(gain["high"])}  # fmt: skip


def measured(facts: Facts) -> dict[str, Any]:
    return {**facts, "before": duration(facts["before"]), "after": duration(facts["after"])}


def strategy(one: Facts) -> Sentences:
    facts = measured(one["facts"])
    what = _("Choose nodes by %(strategy)s.") % facts
    if facts["measure"] == "open_seconds":
        why = _(
            "Replayed under %(strategy)s, the last %(jobs)s jobs are done after %(after)s instead "
            "of %(before)s under %(present)s."
        )
    else:
        why = _(
            "Replayed under %(strategy)s, a result of the last %(jobs)s jobs is there after "
            "%(after)s in the mean instead of %(before)s under %(present)s."
        )
    effect = _("The gain is %(gain)s. Jobs with a strategy of their own keep it.")
    return what, why % facts, effect % {"gain": span(one)}


def add_workers(one: Facts) -> Sentences:
    facts = measured(one["facts"])
    what = _("Add a node like %(model)s.") % facts
    if facts["measure"] == "open_seconds":
        why = _(
            "With one more, the last %(jobs)s jobs would be done after %(after)s instead of "
            "%(before)s."
        )
    else:
        why = _(
            "With one more, a result of the last %(jobs)s jobs would be there after %(after)s in "
            "the mean instead of %(before)s."
        )
    return what, why % facts, _("The gain is %(gain)s.") % {"gain": span(one)}


def remove_worker(one: Facts) -> Sentences:
    facts = {**one["facts"], "utilisation": share(one["facts"]["utilisation"])}
    what = _("Do without %(node)s, or use it for something else.") % facts
    why = _(
        "The last %(jobs)s jobs used %(utilisation)s of the slots' time; without %(node)s they are "
        "done as soon, to within 1 %%."
    )
    return what, why % facts, _("It is drained: it finishes what runs and takes nothing new.")


def clean_up(one: Facts) -> Sentences:
    facts = {**one["facts"], "bytes": size(one["facts"]["bytes"])}
    facts["days"] = f"{facts['days']:g}"
    what = ngettext(
        "Delete %(old)s job that ended more than %(days)s days ago.",
        "Delete %(old)s jobs that ended more than %(days)s days ago.",
        facts["old"],
    )
    why = _("Nobody has looked after them; they and about %(bytes)s of output take up space.")
    effect = _(
        "Jobs, attempts, output and files that nobody else needs go for good; this cannot be "
        "taken back. Where there are many, some at a time."
    )
    return what % facts, why % facts, effect


def rebalance(one: Facts) -> Sentences:
    facts = {**one["facts"], "oldest": duration(one["facts"]["oldest"])}
    facts["fits"] = ", ".join(facts["fits"][:5])
    what = _("Let more nodes take the jobs that need %(need)s.") % facts
    why = ngettext(
        "%(queued)s job waits, the oldest for %(oldest)s, for %(fits)s alone.",
        "%(queued)s jobs wait, the oldest for %(oldest)s, for %(fits)s alone.",
        facts["queued"],
    )
    if not facts["fits"]:
        why = ngettext(
            "%(queued)s job waits, the oldest for %(oldest)s, and no node that takes work fits.",
            "%(queued)s jobs wait, the oldest for %(oldest)s, and no node that takes work fits.",
            facts["queued"],
        )
    why += " " + ngettext(
        "Elsewhere %(idle)s slot is free.", "Elsewhere %(idle)s slots are free.", facts["idle"]
    )
    effect = _(
        "Give the tag to more nodes if they have what it stands for, or submit with a wider need."
    )
    return what, why % facts, effect


def resume(one: Facts) -> Sentences:
    facts = one["facts"]
    what = _("Let %(node)s take work again.") % facts
    why = ngettext(
        "It is drained, and %(queued)s job waits that it could take.",
        "It is drained, and %(queued)s jobs wait that it could take.",
        facts["queued"],
    )
    effect = _("The drain ends. Its reason was: %(reason)s") % {
        "reason": told(facts["reason"]) or UNKNOWN
    }
    return what, why % facts, effect


def right_size(one: Facts) -> Sentences:
    facts = dict(one["facts"])
    facts["name"] = str(CASES.get(facts["what"], facts["what"]))
    facts["what"] = FIELDS.get(facts["what"], facts["what"])
    for number in ("asked", "wanted", "used"):
        facts[number] = f"{facts[number]:.4g}"
    what = _("Submit “%(title)s” with %(what)s: %(wanted)s instead of %(asked)s.") % facts
    why = _("In %(runs)s runs, 95 %% used no more than %(used)s (%(name)s).")
    effects = {
        "memory_mb": _("More jobs fit on a node at once, and small nodes can take them too."),
        "slots": _("More jobs run at once on the same nodes."),
        "timeout_seconds": _("A run that hangs is noticed sooner."),
    }
    effect = effects[one["facts"]["what"]]
    if facts["what"] == "timeout_seconds" and one["facts"]["wanted"] > one["facts"]["asked"]:
        why = _("Of %(runs)s runs %(timed_out)s timed out; 95 %% took no more than %(used)s s.")
        effect = _("Runs that are merely slow are no longer stopped.")
    return what, why % facts, effect


WORDS: dict[str, Callable[[Facts], Sentences]] = {
    "strategy": strategy,
    "add_workers": add_workers,
    "remove_worker": remove_worker,
    "clean_up": clean_up,
    "rebalance": rebalance,
    "resume": resume,
    "right_size": right_size,
}
REASONS: dict[str, Any] = {
    "few_jobs": ngettext_lazy(
        "%(jobs)s job ran in that time; at least %(needed)s are needed.",
        "%(jobs)s jobs ran in that time; at least %(needed)s are needed.",
        "jobs",
    ),
    "no_nodes": gettext_lazy("No node takes work at the moment."),
    "few_resamples": ngettext_lazy(
        "There was time for %(resamples)s resampled history; at least %(needed)s are needed.",
        "There was time for %(resamples)s resampled histories; at least %(needed)s are needed.",
        "resamples",
    ),
    "one_node": gettext_lazy("With one node every strategy does the same."),
    "none_better": gettext_lazy(
        "Over %(jobs)s jobs no strategy is surely better than %(strategy)s, the one in use."
    ),
    "no_help": gettext_lazy("Over %(jobs)s jobs one node more would surely gain too little."),
    "needed": gettext_lazy("Over %(jobs)s jobs even %(node)s, the weakest, was needed."),
    "little_old": ngettext_lazy(
        "%(old)s job ended more than %(days)g days ago; below %(needed)s it is not worth it.",
        "%(old)s jobs ended more than %(days)g days ago; below %(needed)s it is not worth it.",
        "old",
    ),
    "balanced": gettext_lazy(
        "No drained node could help, and nowhere do %(needed)s jobs or more wait for few nodes "
        "while others are free."
    ),
    "few_runs": ngettext_lazy(
        "No kind of job ran often enough: %(runs)s time at most; %(needed)s are needed.",
        "No kind of job ran often enough: %(runs)s times at most; %(needed)s are needed.",
        "runs",
    ),
    "fits": ngettext_lazy(
        "What is asked for fits what is used, as far as %(specs)s spec tells.",
        "What is asked for fits what is used, as far as %(specs)s specs tell.",
        "specs",
    ),
}


def refusal(one: Facts) -> str:
    return str(REASONS[one["reason"]] % one["facts"])


def columns(evidence: Facts) -> list[str]:
    return [str(COLUMNS.get(name, name)) for name in evidence["columns"]]


def rows(evidence: Facts) -> list[list[str]]:
    names = evidence["columns"]
    return [[cell(name, v) for name, v in zip(names, row, strict=True)] for row in evidence["rows"]]


def cell(name: str, value: Any) -> str:
    """One entry of an evidence table; three numbers are a value and its range."""
    if value is None:
        return UNKNOWN
    if name == "why":
        return str(told(value))
    if isinstance(value, list):
        first, low, high = (cell(name, number) for number in value)
        return first if value[1] is None else f"{first} ({low} … {high})"
    if name in LENGTHS:
        return duration(value)
    if name in ("gain", "utilisation"):
        return share(value)
    if name == "bytes":
        return size(value)
    if name == "older_than_days":
        days = ngettext("%(days)s day", "%(days)s days", one_or_more(value))
        return days % {"days": f"{value:g}"}
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(CASES.get(value, value)) if isinstance(value, str) else str(value)
