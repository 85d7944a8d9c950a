import argparse
import getpass
import json
from collections.abc import Callable, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from rest_framework.utils.encoders import JSONEncoder

from cluster import nodes
from cluster.models import Node
from cluster.serializers import NodeOut
from jobs.claim import busy
from jobs.templatetags.show import relative
from jobs.terminal import plain

COLUMNS = ("NAME", "STATE", "SLOTS", "HEARD", "ADDRESS", "TAGS", "REMARK")


class Command(BaseCommand):
    help = "List the nodes, add and change them, drain and resume, reset a breaker, remove."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
        found = verbs.add_parser("list", help="show all nodes (also without a verb)")
        found.add_argument("--json", action="store_true", help="everything, as the API tells it")
        found = verbs.add_parser("add", help="use a machine from now on")
        found.add_argument("address", help="host name or IP address")
        found.add_argument("--name", default="", help="what to call it (as its agent says)")
        found.add_argument("--slots", type=slots, help="jobs at a time (as many as its agent has)")
        found.add_argument("--tag", action="append", default=[], dest="tags", metavar="TAG")
        found = verbs.add_parser("set", help="change a node")
        found.add_argument("name")
        found.add_argument("--name", dest="new_name", metavar="NEW", help="rename it")
        found.add_argument("--slots", type=slots, metavar="N|auto", help="jobs at a time")
        found.add_argument("--tag", action="append", default=[], dest="tags", metavar="TAG")
        found.add_argument("--untag", action="append", default=[], dest="untags", metavar="TAG")
        found = verbs.add_parser("drain", help="finish what runs, take nothing new")
        found.add_argument("names", nargs="+", metavar="NAME")
        found.add_argument("--reason", default="", help="shown to everybody")
        found = verbs.add_parser("resume", help="take work again")
        found.add_argument("names", nargs="+", metavar="NAME")
        found = verbs.add_parser("reset", help="close the breaker: take work again")
        found.add_argument("names", nargs="+", metavar="NAME")
        found = verbs.add_parser("remove", help="use it no more; its history stays")
        found.add_argument("names", nargs="+", metavar="NAME")
        found.add_argument("--force", action="store_true", help="although attempts are open there")

    def handle(self, *args: Any, **options: Any) -> None:
        verb = options["verb"] or "list"
        acts: dict[str, Callable[[dict[str, Any]], None]] = {
            "list": self.list, "add": self.add, "set": self.set, "drain": self.drain,
            "resume": self.resume, "reset": self.reset, "remove": self.remove,
        }  # fmt: skip
        try:
            acts[verb](options)
        except nodes.Refused as refused:
            raise CommandError(str(refused)) from None

    def list(self, options: dict[str, Any]) -> None:
        now, taken = timezone.now(), busy()
        known = list(Node.objects.filter(removed_at=None))
        if options.get("json"):
            found = NodeOut(known, many=True, context={"now": now, "busy": taken}).data
            self.stdout.write(json.dumps(found, cls=JSONEncoder, indent=2))
            return
        if not known:
            self.stdout.write("No node is known. Add one: manage.py nodes add ADDRESS")
            return
        rows = []
        for node in known:
            used = taken.get(node.pk, 0)
            heard = node.last_seen_at and relative((now - node.last_seen_at).total_seconds())
            rows.append((
                node.name, nodes.state(node, used, now), f"{used}/{node.slots}",
                f"{heard} ago" if heard else "-", node.address,
                ",".join([*node.tags, *node.auto_tags]) or "-", remark(node),
            ))  # fmt: skip
        for line in table([COLUMNS, *rows]):
            self.stdout.write(line)

    def add(self, options: dict[str, Any]) -> None:
        number = None if isinstance(options["slots"], nodes.Auto) else options["slots"]
        node = nodes.add(
            options["address"], options["name"], number, options["tags"], who(), timezone.now()
        )
        self.stdout.write(
            f"{node.name} is added. It is used as soon as its agent answers at {node.address}."
        )

    def set(self, options: dict[str, Any]) -> None:
        [node] = find([options["name"]])
        wanted = {name: options[name] for name in ("slots",) if options[name] is not None}
        if options["new_name"] is not None:
            wanted["name"] = options["new_name"]
        if options["tags"] or options["untags"]:
            if missing := sorted(set(options["untags"]) - set(node.tags)):
                raise CommandError(f"{node.name} does not have the tag {', '.join(missing)}.")
            wanted["tags"] = (set(node.tags) | set(options["tags"])) - set(options["untags"])
        if not wanted:
            raise CommandError("Say what to change: --name, --slots, --tag or --untag.")
        nodes.change(node, **wanted)
        slots = f"{node.slots} slots" if node.slots_set else f"{node.slots} slots (auto)"
        self.stdout.write(f"{node.name}: {slots}, tags: {', '.join(node.tags) or 'none'}")

    def drain(self, options: dict[str, Any]) -> None:
        for node in find(options["names"]):
            nodes.drain(Node.objects.filter(pk=node.pk), options["reason"])
            running = nodes.attempts_open(node)
            left = "is drained"
            if running:
                left = f"finishes {running} open attempt{'s' if running > 1 else ''}"
            self.stdout.write(f"{node.name} {left} and takes nothing new.")

    def resume(self, options: dict[str, Any]) -> None:
        for node in find(options["names"]):
            nodes.resume(Node.objects.filter(pk=node.pk))
            self.stdout.write(f"{node.name} takes work again.")

    def reset(self, options: dict[str, Any]) -> None:
        for node in find(options["names"]):
            nodes.reset(node, timezone.now())
            self.stdout.write(f"The breaker of {node.name} is closed.")

    def remove(self, options: dict[str, Any]) -> None:
        for node in find(options["names"]):
            nodes.remove(node, timezone.now(), options["force"])
            self.stdout.write(f"{node.name} is removed; its history stays.")


def slots(text: str) -> int | nodes.Auto:
    if text == "auto":
        return nodes.AUTO
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError("give a number, or auto") from None


def find(names: Sequence[str]) -> list[Node]:
    """All of them, or none: nothing is done where one is not known."""
    known = {node.name: node for node in Node.objects.filter(removed_at=None)}
    if missing := [name for name in names if name not in known]:
        there = ", ".join(sorted(known)[:20]) or "none yet"
        raise CommandError(f"There is no node {', '.join(missing)}. There is: {there}.")
    return [known[name] for name in dict.fromkeys(names)]


def remark(node: Node) -> str:
    if not node.online:
        return node.trouble
    if node.breaker_opened_at:
        return node.breaker_reason
    return node.drain_reason if node.draining else node.canary_error


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """In columns. Nodes say what they like: nothing that a terminal would obey gets through."""
    cells = [[" ".join(plain(text).split()) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def who() -> str:
    """Whoever runs the command, for the record."""
    try:
        return f"{getpass.getuser()} (command line)"
    except (KeyError, OSError):
        return "command line"
