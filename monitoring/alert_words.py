"""What an alert says: made from its facts where it is shown, in the reader's language."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from cluster.wording import told
from jobs.amounts import size
from jobs.terminal import plain
from monitoring.alert_advice import ADVICE
from monitoring.amounts import amount, length, number, one_or_more
from monitoring.models import Alert
from monitoring.rules import RULES

MOST_NAMES = 12
TITLES = {
    "monitor_silent": gettext_lazy("The monitor is silent"),
    "dispatcher_silent": gettext_lazy("The dispatcher is silent"),
    "home_disk_low": gettext_lazy("The control machine’s disk is nearly full"),
    "dispatcher_halted": gettext_lazy("The dispatcher starts nothing"),
    "nodes_down": gettext_lazy("Several nodes were lost at once"),
    "node_down": gettext_lazy("A node is down"),
    "breaker_open": gettext_lazy("A node is quarantined"),
    "dispatch_errors": gettext_lazy("A node loses jobs"),
    "disk_low": gettext_lazy("A node’s disk is nearly full"),
    "memory_low": gettext_lazy("A node is short of memory"),
    "hot_node": gettext_lazy("A node is hot"),
    "throttled_node": gettext_lazy("A node is throttled or short of voltage"),
    "slow_node": gettext_lazy("A node is slower than it was"),
    "clock_skew": gettext_lazy("A node’s clock is wrong"),
    "stuck_jobs": gettext_lazy("Jobs that no node can take"),
    "overload": gettext_lazy("The cluster is overloaded"),
    "no_free_slot": gettext_lazy("No slot has been free for long"),
    "success_falling": gettext_lazy("More jobs fail than before"),
    "schedule_failing": gettext_lazy("A schedule is failing"),
    "database_growing": gettext_lazy("The database will fill the disk"),
    "undelivered_notices": gettext_lazy("Notices do not arrive"),
}
THROTTLING = {
    "under_voltage": gettext_lazy("its supply voltage is too low"),
    "frequency_capped": gettext_lazy("its clock is capped"),
    "throttled": gettext_lazy("it is slowed down"),
    "soft_temperature_limit": gettext_lazy("it is near its heat limit"),
}


@dataclass(frozen=True)
class Link:
    """Where the evidence is."""

    label: str
    url: str


def title(rule: str) -> str:
    return str(TITLES.get(rule, rule))


def summary(alert: Alert) -> str:
    """What is, in a sentence."""
    return said(alert.rule, alert.subject, alert.value, alert.facts)


def advice(alert: Alert) -> str:
    """What to do about it."""
    words = ADVICE.get(alert.rule)
    return words(plain(alert.subject), alert.facts) if words else ""


def inside(alert: Alert) -> list[str]:
    """Its consequences, in a sentence each."""
    return [
        said(one["rule"], one["subject"], one.get("value"), one.get("facts") or {})
        for one in alert.inside
    ]


def said(rule: str, subject: str, value: float | None, facts: Mapping[str, Any]) -> str:
    """By facts that an older release may have written."""
    try:
        return SUMMARIES[rule](plain(subject), value, facts)
    except (KeyError, TypeError, ValueError, IndexError):
        return f"{title(rule)}: {plain(subject)}" if subject else title(rule)


def shown_value(rule: str, value: float | None) -> str:
    """With its unit; a dash where there is none."""
    return amount(value, RULES[rule].unit) if rule in RULES else number(value)


# Summaries


def monitor_silent(name: str, value: float | None, facts: Mapping[str, Any]) -> str:
    if value is None:
        return _("The monitor has never run: nobody watches, and no notice is sent.")
    text = _("The monitor has been silent for %s: nobody watches, and no notice is sent.")
    return text % length(value)


def dispatcher_silent(name: str, value: float | None, facts: Mapping[str, Any]) -> str:
    if facts.get("never") or value is None:
        return _("The dispatcher has never run: jobs are accepted, and none starts.")
    text = _("The dispatcher has been silent for %s: no job starts, no result is recorded.")
    return text % length(value)


def home_disk_low(name: str, value: float | None, facts: Mapping[str, Any]) -> str:
    text = _("The control machine has %s of disk left, where database and files are.")
    return text % amount(value, "GB")


def dispatcher_halted(name: str, value: float | None, facts: Mapping[str, Any]) -> str:
    return _("The dispatcher runs but starts no job: %s") % plain(told(facts["note"]))


def nodes_down(name: str, value: float | None, facts: Mapping[str, Any]) -> str:
    named, away = facts["nodes"], facts["away"]
    names = listed(away)
    if len(away) == len(named):
        text = ngettext(
            "%(count)d node was lost: %(names)s", "%(count)d nodes were lost at once: %(names)s",
            len(named),
        )  # fmt: skip
        return text % {"count": len(named), "names": names}
    text = _("%(all)d nodes were lost at once; still away, %(count)d: %(names)s")
    return text % {"all": len(named), "count": len(away), "names": names}


def node_down(name: str, value: float | None, facts: Mapping[str, Any]) -> str:
    if facts.get("never"):
        found = _("%s has never answered since it was added.") % name
    else:
        found = _("%s does not answer.") % name
    trouble = plain(told(facts.get("trouble") or ""))
    return f"{found} ({trouble})" if trouble else found


def breaker_open(name: str, value: float | None, facts: Mapping[str, Any]) -> str:
    text = _("%(name)s is quarantined and gets no jobs: %(why)s")
    return text % {"name": name, "why": plain(told(facts["reason"]))}


def dispatch_errors(name: str, value: float | None, facts: Mapping[str, Any]) -> str:
    text = ngettext(
        "%(count)d attempt was lost on %(name)s within ten minutes.",
        "%(count)d attempts were lost on %(name)s within ten minutes.",
        int(value or 0),
    )
    return text % {"count": int(value or 0), "name": name}


def disk_low(name: str, value: float | None, facts: Mapping[str, Any]) -> str:
    if facts.get("read_only"):
        return _("The disk of %s is read-only: jobs cannot write there.") % name
    return _("%(name)s has %(free)s of disk left.") % {"name": name, "free": amount(value, "GB")}


def memory_low(name: str, value: float | None, facts: Mapping[str, Any]) -> str:
    text = _("%(name)s has %(percent)s of its memory left: %(free)s of %(all)s.")
    return text % {
        "name": name, "percent": amount(value, "%"), "free": size(facts["free_bytes"]),
        "all": size(facts["total_bytes"]),
    }  # fmt: skip


def hot_node(name: str, value: float | None, facts: Mapping[str, Any]) -> str:
    return _("%(name)s is at %(degrees)s.") % {"name": name, "degrees": amount(value, "°C")}


def throttled_node(name: str, value: float | None, facts: Mapping[str, Any]) -> str:
    words = [str(THROTTLING.get(word, plain(str(word)))) for word in facts["words"]]
    return f"{name}: {', '.join(words)}."


def slow_node(name: str, value: float | None, facts: Mapping[str, Any]) -> str:
    text = _("%(name)s takes %(times)s times as long as before for the same work (%(runs)d runs).")
    return text % {"name": name, "times": number(value), "runs": facts["runs"]}


def clock_skew(name: str, value: float | None, facts: Mapping[str, Any]) -> str:
    text = _("The clock of %(name)s is %(length)s behind.")
    if facts.get("ahead"):
        text = _("The clock of %(name)s is %(length)s ahead.")
    return text % {"name": name, "length": length(value or 0)}


def stuck_jobs(name: str, value: float | None, facts: Mapping[str, Any]) -> str:
    count = int(value or 0)
    text = ngettext(
        "%(count)d job waits that no known node can ever take: %(why)s",
        "%(count)d jobs wait that no known node can ever take: %(why)s",
        count,
    )
    reasons = [
        f"{plain(one['node'])}: {told(one.get('why') or of_old(one))}"
        for one in facts.get("reasons") or ()
    ]
    why = "; ".join(reasons) or str(facts.get("why") or "–")
    return text % {"count": count, "why": plain(why)}


def of_old(reason: Mapping[str, Any]) -> dict[str, Any]:
    """As alerts were kept until their reasons were stored as everything else is."""
    return {"text": reason["text"], "values": reason["values"]}


def overload(name: str, value: float | None, facts: Mapping[str, Any]) -> str:
    text = ngettext(
        "More jobs come than are done: %(ready)s waits, ten minutes earlier it was %(before)s; "
        "the oldest has waited for %(length)s.",
        "More jobs come than are done: %(ready)s wait, ten minutes earlier it was %(before)s; "
        "the oldest has waited for %(length)s.",
        facts["ready"],
    )
    return text % {
        "ready": number(facts["ready"]), "before": number(facts["before"]),
        "length": length(value or 0),
    }  # fmt: skip


def no_free_slot(name: str, value: float | None, facts: Mapping[str, Any]) -> str:
    taken = ngettext(
        "The only slot has been taken for a long time.",
        "All %(slots)s slots have been taken for a long time.",
        facts["slots"],
    )
    wait = ngettext("%(ready)s job waits.", "%(ready)s jobs wait.", facts["ready"])
    counts = {"slots": number(facts["slots"]), "ready": number(facts["ready"])}
    return f"{taken % counts} {wait % counts}"


def success_falling(name: str, value: float | None, facts: Mapping[str, Any]) -> str:
    text = _("%(share)s of the last hour’s jobs succeeded; %(failed)s of %(ended)s failed.")
    found = text % {
        "share": amount(value, "%"), "failed": number(facts["failed"]),
        "ended": number(facts["ended"]),
    }  # fmt: skip
    if facts.get("past") is not None:
        found += " " + _("The day before it was %s.") % amount(facts["past"], "%")
    return found


def schedule_failing(name: str, value: float | None, facts: Mapping[str, Any]) -> str:
    if "schedules" in facts:
        count = len(facts["schedules"])
        text = ngettext(
            "%(count)d schedule is failing: %(names)s",
            "%(count)d schedules are failing: %(names)s",
            count,
        )
        return text % {"count": count, "names": listed(facts["names"])}
    count = int(value or 1)
    named: dict[str, Any] = {"name": plain(facts["name"]), "count": count}
    if facts["last"] == "refused":
        text = _("The schedule “%(name)s” could not start its work: %(why)s")
        if facts.get("paused"):
            text = _("The schedule “%(name)s” could not start its work, and paused itself: %(why)s")
        return text % {"why": plain(told(facts["why"])), **named}
    if facts.get("more"):
        named["count"] = _("at least %d") % count
    if facts["last"] == "missed":
        text = ngettext(
            "The schedule “%(name)s” left its last time out: nobody was there.",
            "The schedule “%(name)s” failed %(count)s times in a row, the last time because nobody "
            "was there.",
            count,
        )
    elif facts.get("sweep"):
        text = ngettext(
            "Jobs of the last sweep of the schedule “%(name)s” failed.",
            "The schedule “%(name)s” failed %(count)s times in a row, the last time because jobs "
            "of its sweep failed.",
            count,
        )
    else:
        text = ngettext(
            "The last run of the schedule “%(name)s” failed.",
            "The schedule “%(name)s” failed %(count)s times in a row, the last time because its "
            "job failed.",
            count,
        )
    return text % named


def database_growing(name: str, value: float | None, facts: Mapping[str, Any]) -> str:
    text = ngettext(
        "The database has %(size)s and grows by %(growth)s a day: at this rate the disk is full "
        "in %(days)s day.",
        "The database has %(size)s and grows by %(growth)s a day: at this rate the disk is full "
        "in %(days)s days.",
        one_or_more(value or 0),
    )
    return text % {
        "size": size(facts["bytes"]), "growth": size(facts["growth"]), "days": number(value),
    }  # fmt: skip


def undelivered_notices(name: str, value: float | None, facts: Mapping[str, Any]) -> str:
    count = int(value or 0)
    text = ngettext(
        "%d notice could not be delivered within the last hour.",
        "%d notices could not be delivered within the last hour.",
        count,
    )
    return text % count


Say = Callable[[str, float | None, Mapping[str, Any]], str]
SUMMARIES: dict[str, Say] = {
    say.__name__: say
    for say in (
        monitor_silent, dispatcher_silent, home_disk_low, dispatcher_halted, nodes_down, node_down,
        breaker_open, dispatch_errors, disk_low, memory_low, hot_node, throttled_node, slow_node,
        clock_skew, stuck_jobs, overload, no_free_slot, success_falling, schedule_failing,
        database_growing, undelivered_notices,
    )
}  # fmt: skip


def listed(names: list[str]) -> str:
    shown = ", ".join(plain(str(name)) for name in names[:MOST_NAMES])
    return f"{shown}, …" if len(names) > MOST_NAMES else shown


# Evidence


def evidence(alert: Alert) -> list[Link]:
    """Pages that show the rows it rests on."""
    found = list[Link]()
    if alert.rule == "nodes_down":
        found += [node_link(name) for name in alert.facts.get("nodes", ())[:MOST_NAMES]]
    elif alert.rule == "schedule_failing":
        found += schedule_links(alert.facts)
    elif alert.subject:
        found.append(node_link(alert.subject))
    if alert.rule in ("overload", "no_free_slot", "stuck_jobs", "dispatcher_silent",
                      "dispatcher_halted"):  # fmt: skip
        found.append(jobs_link(_("the jobs that wait"), state="queued"))
    if alert.rule == "dispatch_errors":
        found.append(jobs_link(_("the jobs of this node"), node=alert.subject))
    if alert.rule == "success_falling":
        found.append(jobs_link(_("the jobs that failed"), state="failed", ended="24h"))
    if alert.rule == "slow_node" and alert.facts.get("spec"):
        found.append(jobs_link(_("the work it was measured by"), spec=str(alert.facts["spec"])))
    if alert.rule == "stuck_jobs" and alert.facts.get("job"):
        job = alert.facts["job"]
        found.append(Link(_("job %d, and why it waits") % job, reverse("job", args=[job])))
    return found


def schedule_links(facts: Mapping[str, Any]) -> list[Link]:
    found = list[Link]()
    several = zip(facts.get("schedules", ()), facts.get("names", ()), strict=False)
    alone = [(facts["schedule"], facts.get("name", ""))] if facts.get("schedule") else []
    for pk, name in [*alone, *several][:MOST_NAMES]:
        label = _("schedule “%s” and its history") % plain(str(name))
        found.append(Link(label, reverse("schedule", args=[pk])))
    if len(facts.get("schedules", ())) > MOST_NAMES:
        found.append(Link(_("all schedules"), reverse("schedules")))
    if job := facts.get("job"):
        found.append(Link(_("job %d, the last that failed") % job, reverse("job", args=[job])))
    if sweep := facts.get("sweep"):
        label = _("the jobs of sweep %d that failed") % sweep
        found.append(jobs_link(label, sweep=str(sweep), state="failed"))
    return found


def node_link(name: str) -> Link:
    return Link(_("node %s") % plain(name), f"{reverse('nodes')}/{quote(name, safe='/')}")


def jobs_link(label: str, **params: str) -> Link:
    return Link(label, f"{reverse('jobs')}?{urlencode(params)}")
