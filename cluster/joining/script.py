"""The script that a machine runs to become a node: join.sh with its first lines filled in."""

import hashlib
import re
import shlex
from pathlib import Path

from django.conf import settings

from cluster.joining import parcels, wheels
from cluster.models import Invitation

TEMPLATE = Path(__file__).with_name("join.sh")
HIDDEN = "…"  # in place of the token, where people look


def text(invitation: Invitation, origin: str, token: str = HIDDEN) -> str:
    """The script, readable as a whole. It holds no secret but the token in its address."""
    values = {
        "ORIGIN": origin,
        "URL": f"{origin}/join/{token}",
        "DISPATCHER": settings.DISPY_HOST,
        "PORT": str(settings.DISPY_PORT),
        "NAME": invitation.name,
        "SLOTS": str(invitation.slots or ""),
        "AGENT_SHA256": hashlib.sha256(parcels.agent()).hexdigest(),
        "PACKAGES_SHA256": hashlib.sha256(wheels.archive()).hexdigest(),
    }
    # An origin comes from a request, though Django lets only host names and ports through.
    values["ORIGIN"] = re.sub(r"[^\w:/.\[\]-]", "", values["ORIGIN"])
    quoted = {name: shlex.quote(value) for name, value in values.items() if name != "ORIGIN"}
    return re.sub(r"@([A-Z0-9_]+)@", lambda m: {**values, **quoted}[m[1]], TEMPLATE.read_text())


def line(origin: str, token: str) -> str:
    """To be run as it is."""
    return f"curl -fsS {origin}/join/{token} | sh"


def look_first(origin: str, token: str) -> str:
    """The same for people who read what they run."""
    return f"curl -fsSo join.sh {origin}/join/{token}\nless join.sh\nsh join.sh"
