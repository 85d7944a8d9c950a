import json
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from rest_framework.utils.encoders import JSONEncoder

from cluster.management.commands.nodes import table, who
from jobs.turns import turn
from schedules import due, keeping
from schedules.models import Schedule
from schedules.serializers import ScheduleOut
from schedules.words import rhythm, wall_clock

COLUMNS = ("NO", "NAME", "STATE", "WHEN", "NEXT", "STARTED", "USER", "REMARK")


class Command(BaseCommand):
    help = "List the schedules, pause and resume them, run one now."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
        found = verbs.add_parser("list", help="show all schedules (also without a verb)")
        found.add_argument("--json", action="store_true", help="everything, as the API tells it")
        words = {
            "pause": "start nothing until they are resumed",
            "resume": "go on with the next time",
            "run": "start once, now, paused or not",
        }
        for verb, text in words.items():
            found = verbs.add_parser(verb, help=text)
            found.add_argument("names", nargs="+", metavar="NAME", help="or number")
            if verb == "pause":
                found.add_argument("--reason", default="", help="shown to everybody")

    def handle(self, *args: Any, **options: Any) -> None:
        acts: dict[str, Callable[[dict[str, Any]], None]] = {
            "list": self.list, "pause": self.pause, "resume": self.resume, "run": self.run,
        }  # fmt: skip
        acts[options["verb"] or "list"](options)

    def list(self, options: dict[str, Any]) -> None:
        known = list(Schedule.objects.select_related("owner"))
        if options.get("json"):
            found = ScheduleOut(known, many=True).data
            self.stdout.write(json.dumps(found, cls=JSONEncoder, indent=2))
            return
        if not known:
            self.stdout.write("There is no schedule yet.")
            return
        rows = [
            (
                str(schedule.pk), schedule.name, schedule.state, rhythm(schedule),
                wall_clock(schedule.next_at, schedule.zone) if schedule.next_at else "-",
                str(schedule.started), schedule.owner.get_username(),
                schedule.last_error or schedule.paused_why,
            )
            for schedule in known
        ]  # fmt: skip
        for line in table([COLUMNS, *rows]):
            self.stdout.write(line)

    def pause(self, options: dict[str, Any]) -> None:
        for schedule in find(options["names"]):
            done = keeping.pause(schedule, who(), options["reason"], timezone.now())
            self.stdout.write(f"{schedule.name} {'is' if done else 'was already'} paused.")

    def resume(self, options: dict[str, Any]) -> None:
        for schedule in find(options["names"]):
            if not keeping.resume(schedule, timezone.now()):
                self.stdout.write(f"{schedule.name} was not paused.")
                continue
            schedule.refresh_from_db()
            then = schedule.next_at and wall_clock(schedule.next_at, schedule.zone)
            self.stdout.write(f"{schedule.name} goes on: {then or 'there is no further time'}.")

    def run(self, options: dict[str, Any]) -> None:
        for schedule in find(options["names"]):
            try:
                with turn():
                    run = due.run_now(schedule, who(), timezone.now())
            except due.Overlaps as overlaps:
                raise CommandError(
                    f"{schedule.name}: not while the last one is open: {overlaps}."
                ) from None
            except due.Refused as refused:
                raise CommandError(f"{schedule.name}: {refused}") from None
            work = f"job {run.job_id}" if run.job_id else f"sweep {run.sweep_id}"
            self.stdout.write(f"{schedule.name}: {work} is in.")


def find(names: "list[str]") -> "list[Schedule]":
    """All of them, or none: nothing is done where one is not known, or two have the name."""
    known = list(Schedule.objects.select_related("owner"))
    found = []
    for name in dict.fromkeys(names):
        same = [one for one in known if one.name == name or str(one.pk) == name]
        if not same:
            there = ", ".join(one.name for one in known[:20]) or "none yet"
            raise CommandError(f"There is no schedule {name}. There is: {there}.")
        if len(same) > 1:
            numbers = ", ".join(f"{one.pk} of {one.owner.get_username()}" for one in same)
            raise CommandError(f"Several are called {name}; give the number: {numbers}.")
        found += same
    return found
