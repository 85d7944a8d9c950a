"""The one alert that the monitor cannot raise: its own silence. The web finds it at each look."""

from datetime import datetime

from jobs.models import Lease
from monitoring import rule_settings
from monitoring.models import Alert, AlertState


def found(now: datetime) -> Alert | None:
    """As an alert that is no row; None while the monitor's heartbeat is fresh."""
    rule = rule_settings.read()["monitor_silent"]
    lease = Lease.objects.filter(name="monitor").first()
    since = lease.renewed_at if lease else None
    silent = max(0.0, (now - since).total_seconds()) if since else None
    if not rule.enabled or (silent is not None and silent < (rule.threshold or 0)):
        return None
    return Alert(
        rule=rule.name, severity=rule.severity, state=AlertState.FIRING, threshold=rule.threshold,
        value=silent, started_at=since or now, fired_at=since or now,
    )  # fmt: skip
