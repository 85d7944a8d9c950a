"""`manage.py replay`: the last days' jobs, or made-up ones, through strategies and fleets."""

import gc
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from cluster.strategies import DEFAULT, STRATEGIES
from monitoring import advice, history
from monitoring.fleets import MadeUp, made_up, weakest, with_one_more, without
from monitoring.replay import Outcome, Scene, Work, replay

Row = tuple[str, Outcome, float]  # strategy, outcome, seconds that the replay took


class Command(BaseCommand):
    help = (
        "Replay the last days' jobs under other strategies or with more or fewer nodes; or, with "
        "--made-up, jobs and nodes that never were, to plan a fleet. Nothing is changed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=float, default=advice.DAYS)
        parser.add_argument("--most", type=int, default=history.MOST, help="jobs of the history")
        parser.add_argument(
            "--strategy", action="append", choices=list(STRATEGIES), default=[],
            help="several times for several; all of them by default",
        )  # fmt: skip
        parser.add_argument(
            "--nodes", type=int, default=0, help="so many more (+1) or fewer (-1) than there are"
        )
        parser.add_argument("--made-up", action="store_true")
        parser.add_argument("--fleet-nodes", type=int, default=MadeUp.nodes)
        parser.add_argument("--jobs", type=int, default=MadeUp.jobs)
        parser.add_argument("--job-seconds", type=float, default=MadeUp.seconds)
        parser.add_argument("--load", type=float, default=MadeUp.load)
        parser.add_argument("--unequal", type=float, default=MadeUp.unequal)
        parser.add_argument("--burst", type=float, default=MadeUp.burst)
        parser.add_argument("--seed", type=int, default=MadeUp.seed)
        parser.add_argument("--keep", action="store_true", help="compute the advice and keep it")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] <= 0 or options["most"] < 1:
            raise CommandError("Give --days and --most above 0.")
        if options["keep"]:
            kept = advice.study(timezone.now(), options["days"])
            count = len(kept.body["recommendations"])
            self.stdout.write(f"{count} recommendations, computed in {kept.seconds:.1f} s.")
            return
        if options["made_up"]:
            about, rows = self.of_made_up(options)
        else:
            about, rows = self.of_history(options)
        if options["json"]:
            found = [as_dict(*row) for row in rows]
            self.stdout.write(json.dumps({**about, "replays": found}))
            return
        self.stdout.write(about.pop("words"))
        for line in table(rows):
            self.stdout.write(line)

    def of_history(self, options: dict[str, Any]) -> tuple[dict[str, Any], Iterator[Row]]:
        found = history.read(timezone.now(), options["days"], options["most"])
        if not found.ran or not found.machines:
            raise CommandError("Nothing to replay: no job ran in that time, or no node is there.")
        work = history.work_of(found)
        scene = resized(history.scene_of(found), options["nodes"])
        cut = ", the newest part of it" if found.cut else ""
        words = (
            f"{len(work)} jobs since {found.since:%Y-%m-%d %H:%M} UTC{cut}; "
            f"{len(scene.machines)} nodes; measured: {found.makespan():.1f} s from the first "
            f"arrival to the last end, under {found.strategy} as it is now."
        )
        about = {
            "words": words, "jobs": len(work), "nodes": len(scene.machines), "cut": found.cut,
            "since": found.since.isoformat(), "measured_makespan": found.makespan(),
            "strategy": found.strategy, "overheads": asdict(found.overheads), "away": found.away,
        }  # fmt: skip
        return about, self.runs([(name, work) for name in chosen(options)], scene)

    def of_made_up(self, options: dict[str, Any]) -> tuple[dict[str, Any], Iterator[Row]]:
        if options["fleet_nodes"] < 1 or options["jobs"] < 1 or options["load"] <= 0:
            raise CommandError("Give --fleet-nodes, --jobs and --load above 0.")
        made = MadeUp(
            options["fleet_nodes"], options["jobs"], options["job_seconds"], options["load"],
            options["unequal"], options["burst"], options["seed"],
        )  # fmt: skip
        scene, _ = made_up(made, DEFAULT)
        scene = resized(scene, options["nodes"])
        slots = sum(machine.slots for machine in scene.machines)
        words = (
            f"Made up: {made.jobs} jobs, {len(scene.machines)} nodes of {slots} slots in all, load "
            f"{made.load:g}, seed {made.seed}."
        )
        names = options["strategy"] or [DEFAULT]
        work = [(name, made_up(made, name)[1]) for name in names]
        return {"words": words, "slots": slots, **asdict(made)}, self.runs(work, scene)

    def runs(self, work: Iterable[tuple[str, Iterable[Work]]], scene: Scene) -> Iterator[Row]:
        for name, jobs in work:
            started = time.perf_counter()
            gc.disable()  # many tuples, no cycle: looking for one takes an eighth of the time
            try:
                outcome = replay(jobs, replace(scene, strategy=name))
            finally:
                gc.enable()
            yield name, outcome, time.perf_counter() - started


def chosen(options: dict[str, Any]) -> list[str]:
    return options["strategy"] or list(STRATEGIES)


def resized(scene: Scene, by: int) -> Scene:
    """So many more nodes like the typical one, or without so many of the weakest."""
    if by <= -len(scene.machines):
        raise CommandError("That would leave no node.")
    for _ in range(abs(by)):
        scene = with_one_more(scene) if by > 0 else without(scene, weakest(scene.machines).name)
    return scene


def as_dict(name: str, outcome: Outcome, took: float) -> dict[str, Any]:
    return {"strategy": name, **asdict(outcome), "seconds_taken": round(took, 3)}


def table(rows: Iterable[Row]) -> Iterator[str]:
    yield (
        f"{'strategy':18} {'makespan':>10} {'open work':>10} {'mean wait':>10} {'p95 wait':>10} "
        f"{'to result':>10} {'in use':>7} {'never':>6} {'took':>7}"
    )
    for name, o, took in rows:
        yield (
            f"{name:18} {o.makespan:9.1f}s {o.open_seconds:9.1f}s {o.mean_wait:9.2f}s "
            f"{o.p95_wait:9.2f}s {o.mean_turnaround:9.2f}s {100 * o.utilisation:5.1f} % "
            f"{o.never:6} {took:6.1f}s"
        )
