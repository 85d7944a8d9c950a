"""What people change about the rules, checked, kept, and read with the defaults behind it."""

from datetime import datetime

from django.utils.translation import gettext as _

from cluster.nodes import Refused
from monitoring.models import RuleSetting
from monitoring.rules import RULES, Changed, Rule, with_changes

LONGEST_HOLD = 7 * 86400.0


def read() -> dict[str, Rule]:
    """The rules as they hold now."""
    return with_changes({
        row.rule: Changed(row.enabled, row.threshold, row.hold_seconds)
        for row in RuleSetting.objects.all()
    })  # fmt: skip


def change(
    name: str, enabled: bool, threshold: float | None, hold_seconds: float | None, who: str,
    now: datetime,
) -> None:  # fmt: skip
    """All of it anew; None: as it comes. What is as it comes is not kept."""
    rule = RULES[name]
    if threshold is not None:
        if rule.threshold is None:
            raise Refused(_("This rule has no threshold: leave it empty."), "threshold")
        if not rule.least <= threshold <= rule.most:
            message = _("Give a number from %(least)s to %(most)s.")
            raise Refused(
                message % {"least": f"{rule.least:g}", "most": f"{rule.most:g}"}, "threshold"
            )
    if hold_seconds is not None and not 0 <= hold_seconds <= LONGEST_HOLD:
        message = _("Give seconds from 0 to %(most)s, a week.")
        raise Refused(message % {"most": f"{LONGEST_HOLD:.0f}"}, "hold_seconds")
    threshold = None if threshold == rule.threshold else threshold
    hold_seconds = None if hold_seconds == rule.hold else hold_seconds
    if enabled and threshold is None and hold_seconds is None:
        reset(name)
        return
    RuleSetting.objects.update_or_create(
        rule=name,
        defaults={
            "enabled": enabled, "threshold": threshold, "hold_seconds": hold_seconds,
            "changed_at": now, "changed_by": who[:150],
        },
    )  # fmt: skip


def reset(name: str) -> None:
    """As it comes."""
    RuleSetting.objects.filter(rule=name).delete()
