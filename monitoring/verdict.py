"""The dashboard's first sentence: how it stands, worst first. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext


@dataclass(frozen=True)
class Standing:
    """What the verdict rests on."""

    dispatcher: str  # up, down, never
    nodes: int
    offline: Sequence[str]  # names
    quarantined: Sequence[str]  # names, of those online; likewise the next
    suspect: Sequence[str]
    draining: int
    running: int
    waiting: int  # could run now
    later: int  # scheduled and retrying
    taken: int  # slots
    slots: int  # of nodes online


@dataclass(frozen=True)
class Verdict:
    look: str  # good, warning, bad
    text: str
    advice: str = ""


def verdict(s: Standing) -> Verdict:
    if s.dispatcher != "up":
        text = _("The dispatcher is not running: nothing starts until it is back.")
        advice = _(
            "What was accepted is kept. Start it with “python3 run.py”, or alone with "
            "“manage.py dispatcher”."
        )
        return Verdict("bad", text, advice)
    if not s.nodes:
        text = _("No node is known: work is accepted and waits.")
        advice = _("List machines in DISPY_NODES, or leave it empty for a node on this machine.")
        return Verdict("bad", text, advice)
    up = s.nodes - len(s.offline)
    work = doing(s)
    if not up:
        words = _("No node is online.")
        return Verdict("bad", f"{words} {work}", ", ".join(s.offline[:8]))
    if s.offline or s.quarantined:
        fit = up - len(s.quarantined)
        text = (
            _("%(up)s of %(all)s nodes are up.") % {"up": up, "all": s.nodes}
            if fit == up
            else _("%(up)s of %(all)s nodes take jobs.") % {"up": fit, "all": s.nodes}
        )
        groups = {_("Offline: %s"): s.offline, _("Quarantined: %s"): s.quarantined}
        return Verdict("warning" if fit else "bad", f"{text} {work}", listed(groups))
    if s.draining == s.nodes:
        return Verdict("warning", _("Every node is draining: nothing new starts. %s") % work)
    if s.waiting and s.taken < s.slots and not s.running:
        return Verdict("warning", work, _("Slots are free, yet jobs wait: look at their reasons."))
    if s.suspect:
        text = _("All nodes are up, not all of them well.")
        return Verdict("warning", f"{text} {work}", listed({_("Suspect: %s"): s.suspect}))
    text = _("The node is up.") if s.nodes == 1 else _("All %d nodes are up.") % s.nodes
    return Verdict("good", f"{text} {work}")


def listed(groups: dict[str, Sequence[str]]) -> str:
    """Their names, the first few of each group."""
    shown = {words: ", ".join(names[:8]) + ("…" if len(names) > 8 else "")
             for words, names in groups.items() if names}  # fmt: skip
    return ". ".join(words % names for words, names in shown.items())


def doing(s: Standing) -> str:
    """What is going on, in a sentence."""
    if not (s.running or s.waiting or s.later):
        return _("Nothing to do.")
    parts = []
    if s.running:
        parts.append(ngettext("%d job running", "%d jobs running", s.running) % s.running)
    if s.waiting:
        parts.append(_("%d waiting") % s.waiting)
    if s.later:
        parts.append(_("%d to start later") % s.later)
    return ", ".join(parts) + "."
