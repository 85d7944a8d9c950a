"""What to do about an alert, for somebody who has not read the source."""

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.translation import gettext as _

Advise = Callable[[str, Mapping[str, Any]], str]


def node_down(name: str, facts: Mapping[str, Any]) -> str:
    if facts.get("never"):
        return _(
            "Start the node agent on %s, or check its address: “manage.py doctor” tells what is "
            "in the way. If it is not to be used, remove it."
        ) % name  # fmt: skip
    return _(
        "Look whether %s has power and network, and start its node agent again. Its jobs are run "
        "elsewhere where they allow it; the node is used again as soon as it answers. Before you "
        "switch a node off on purpose, drain it: then nobody is called."
    ) % name  # fmt: skip


def disk_low(name: str, facts: Mapping[str, Any]) -> str:
    if facts.get("read_only"):
        return _(
            "Often a worn-out SD card: copy what you need from %s and replace the card. Drain the "
            "node until then."
        ) % name  # fmt: skip
    return _(
        "Free space on %s: old logs, package caches, files that jobs left outside their scratch "
        "folder. Until then drain it if its jobs write much."
    ) % name  # fmt: skip


def throttled_node(name: str, facts: Mapping[str, Any]) -> str:
    if "under_voltage" in facts.get("words", ()):
        return _("Give %s a stronger power supply and a short, thick cable.") % name
    return _("Give %s air, a heat sink or a fan; or fewer slots.") % name


def schedule_failing(name: str, facts: Mapping[str, Any]) -> str:
    if "schedules" in facts:
        return _(
            "So many often have one cause: look at what they share, such as a function, a file, an "
            "owner, a node, or a time when the monitor was down, before you look at each."
        )
    if facts.get("last") == "refused":
        found = _(
            "The history on its page says what is not good any more: its owner, a function, a "
            "file. Change its work, or bring back what is missing."
        )
        then = _("Then resume it.") if facts.get("paused") else ""
        return f"{found} {then}".strip()
    if facts.get("last") == "missed":
        return _(
            "The monitor has to run at its times: let it, choose other times, or let it make up "
            "for what it missed (“missed: once”)."
        )
    if facts.get("sweep"):
        return _(
            "Open the jobs of its last sweep that failed: their output says why. A sweep counts "
            "as failed from one failed job on; requeue those alone. If it is the work itself, "
            "repair it or pause the schedule until it is repaired; if it is a node, drain that."
        )
    return _(
        "Open the job that failed last: its output says why. If it is the work itself, repair it "
        "or pause the schedule until it is repaired; if it is a node, drain that."
    )


def with_name(text: Callable[[], str]) -> Advise:
    return lambda name, facts: text() % {"name": name}


ADVICE: dict[str, Advise] = {
    "monitor_silent": with_name(lambda: _(
        "Start it: “python3 run.py” starts everything, “manage.py monitor” the monitor alone. Its "
        "log tells why it ended. Jobs go on running meanwhile."
    )),
    "dispatcher_silent": with_name(lambda: _(
        "Start it: “python3 run.py” starts everything, “manage.py dispatcher” the dispatcher "
        "alone. Its log tells why it ended. What was accepted is kept, and what runs on the nodes "
        "runs on and is collected. How the nodes are is not known until then."
    )),
    "home_disk_low": with_name(lambda: _(
        "Free space on the control machine, or let less be kept: a smaller RETENTION_DAYS, then "
        "“manage.py cleanup”. Below 64 MB no job is started any more."
    )),
    "dispatcher_halted": with_name(lambda: _(
        "Take away what it names; it goes on by itself within seconds. Nothing is lost meanwhile."
    )),
    "nodes_down": with_name(lambda: _(
        "So many at once have one cause: look at what they share, such as a switch, a power strip "
        "or the network to this machine, before you look at each node."
    )),
    "node_down": node_down,
    "breaker_open": with_name(lambda: _(
        "A test job is tried there again and again, and %(name)s is trusted again when one "
        "succeeds. Read the reason on the node’s page and the output of the jobs lost there; "
        "after a repair “Reset” on that page trusts it at once."
    )),
    "dispatch_errors": with_name(lambda: _(
        "Open the jobs lost on %(name)s: where different jobs are lost the machine is at fault "
        "(memory, power, network), where one job is lost everywhere the job is. Drain the node "
        "while you look."
    )),
    "disk_low": disk_low,
    "memory_low": with_name(lambda: _(
        "Give %(name)s fewer slots, or let jobs say what they need (memory_mb): then no more are "
        "placed there than fit."
    )),
    "hot_node": with_name(lambda: _(
        "Give %(name)s air, a heat sink or a fan; or fewer slots. A Raspberry Pi slows itself "
        "down from 80 °C on."
    )),
    "throttled_node": throttled_node,
    "slow_node": with_name(lambda: _(
        "Look at the page of %(name)s for heat, throttling, memory and what else runs there. If "
        "its work has really grown, this becomes the new normal within a day or two."
    )),
    "clock_skew": with_name(lambda: _(
        "Let %(name)s set its clock by the network: “timedatectl set-ntp true”. Jobs are not "
        "harmed, the times in their output are wrong."
    )),
    "stuck_jobs": with_name(lambda: _(
        "The job’s page says for each node what is in the way, and the single change that would "
        "start it: give a node the tag, add a node that is large enough, or cancel the jobs."
    )),
    "overload": with_name(lambda: _(
        "Add nodes or slots, or let less urgent work wait (a lower priority). Look first whether "
        "nodes are down, draining or quarantined; the recommendations say what one node more "
        "would bring."
    )),
    "no_free_slot": with_name(lambda: _(
        "That is good use of the machines if the work has time. If it has not: add a node; the "
        "recommendations say what it would bring."
    )),
    "success_falling": with_name(lambda: _(
        "Open the jobs that failed: if all of them failed on one node, drain it; if one kind of "
        "job fails everywhere, look at its code or its input."
    )),
    "schedule_failing": schedule_failing,
    "database_growing": with_name(lambda: _(
        "Keep less (RETENTION_DAYS) and run “manage.py cleanup”, let jobs print less, or give the "
        "database a larger disk."
    )),
    "undelivered_notices": with_name(lambda: _(
        "Open the channels under Settings: the delivery log says what went wrong, and the test "
        "button tries again. Until it works look at this page yourself."
    )),
}  # fmt: skip
