"""A model check: whatever comes in whatever order, the rows keep their promises."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db.models import Q
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cluster.models import Node
from jobs import lease, lifecycle
from jobs.dispatcher import Desk, run_once
from jobs.health import Health
from jobs.lifecycle import TRANSITIONS
from jobs.models import FINAL_STATES, Attempt, Event, Job, Lease, State
from tests.factories import NOW, hold_lease, make_job, make_node, make_user
from tests.fakes import FakeEngine, report

pick = st.integers(0, 10**6)
ends = st.sampled_from(["succeeded", "failed", "timed_out", "cancelled"])
NEVER = "it never reached the node"


class Work(RuleBasedStateMachine):
    """Users, a dispatcher that may die, and nodes that answer, answer late, or never."""

    @initialize()
    def begin(self) -> None:
        for model in (Event, Attempt, Job, Lease, Node):
            model._default_manager.all().delete()
        self.now: datetime = NOW
        make_user()
        make_node("a", slots=2)
        make_node("b", slots=1)
        self.epoch = hold_lease(self.now)
        self.engine, self.desk = FakeEngine(), Desk(self.epoch, Health(self.now))
        self.engine.sings = True
        self.gone: set[int] = set()  # bundles somebody has already answered or given up
        self.final: dict[int, tuple[str, str | None]] = {}
        for on_lost in ("retry", "fail", "retry", "retry"):
            make_job(self.now, on_lost=on_lost, max_attempts=2)
        self.one_pass(0)

    def some_bundle(self, number: int, gone: bool) -> int | None:
        known = [b for b in self.engine.sent if (b in self.gone) == gone]
        return known[number % len(known)] if known else None

    def job(self, number: int) -> Any:
        jobs = list(Job.objects.values_list("pk", flat=True))
        return Job.objects.filter(pk=jobs[number % len(jobs)])

    @rule(
        priority=st.integers(0, 2),
        on_lost=st.sampled_from(["retry", "fail"]),
        most=st.integers(1, 3),
    )
    def submit(self, priority: int, on_lost: str, most: int) -> None:
        make_job(self.now, priority=priority, on_lost=on_lost, max_attempts=most)

    @precondition(lambda self: Job.objects.exists())
    @rule(number=pick, kind=st.sampled_from(["after_ok", "after_any"]))
    def submit_after(self, number: int, kind: str) -> None:
        make_job(self.now, **{kind: [self.job(number).get().pk]})

    @rule(seconds=st.integers(0, 400))
    def one_pass(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        run_once(self.engine, self.desk, self.now)

    @rule(number=pick, outcome=ends, seen=st.booleans())
    def a_node_answers(self, number: int, outcome: str, seen: bool) -> None:
        if bundle := self.some_bundle(number, gone=False):
            self.gone.add(bundle)
            self.engine.say(
                bundle, [report(a, outcome, result=str(a)) for a in self.members(bundle)]
            )
            if seen:
                self.one_pass(400)

    @rule(number=pick, seen=st.booleans(), never_started=st.booleans())
    def a_node_is_lost(self, number: int, seen: bool, never_started: bool) -> None:
        if bundle := self.some_bundle(number, gone=False):
            self.gone.add(bundle)
            self.engine.lose(bundle, NEVER if never_started else "it died", never_started)
            if seen:
                self.one_pass(400)

    @rule(number=pick, outcome=ends)
    def an_answer_comes_late_or_twice(self, number: int, outcome: str) -> None:
        if bundle := self.some_bundle(number, gone=True):
            ended = [report(a, outcome, result='"late"') for a in self.members(bundle)]
            closed = Attempt.objects.filter(pk__in=self.members(bundle), finished_at=None)
            if not closed.exists() and not self.engine.events:
                self.engine.say(bundle, ended)

    def members(self, bundle: int) -> list[int]:
        return self.engine.attempts(bundle)

    @precondition(lambda self: Job.objects.exists())
    @rule(number=pick)
    def cancel(self, number: int) -> None:
        lifecycle.cancel(self.job(number), self.now, "alice")

    @precondition(lambda self: Job.objects.exists())
    @rule(number=pick)
    def requeue(self, number: int) -> None:
        job = self.job(number)
        if lifecycle.requeue(job, self.now, "alice"):
            self.final.pop(job.get().pk, None)

    @precondition(lambda self: Job.objects.exists())
    @rule(number=pick, held=st.booleans())
    def hold(self, number: int, held: bool) -> None:
        lifecycle.change(self.job(number), self.now, "alice", held=held)

    @rule()
    def the_dispatcher_dies(self) -> None:
        """What it had taken and not written is gone; nobody answers for what was open."""
        old = self.epoch
        silent = Lease.objects.get(name="dispatcher").renewed_at
        epoch = lease.take("dispatcher", f"next to {old}", self.now, silent_since=silent)
        assert epoch == old + 1
        self.epoch, self.desk = epoch, Desk(epoch, Health(self.now))
        self.engine.events.clear()
        open_bundles = Attempt.objects.filter(finished_at=None).values_list("bundle", flat=True)
        for bundle in set(open_bundles) & set(self.engine.sent):
            self.gone.add(bundle)
            self.engine.lose(bundle, "nobody answers for it after the restart")

    @invariant()
    def a_running_job_has_one_open_attempt_and_no_other_has_any(self) -> None:
        running = set(Job.objects.filter(state=State.RUNNING).values_list("pk", flat=True))
        still_open = list(Attempt.objects.filter(finished_at=None).values_list("job", flat=True))
        assert len(still_open) == len(set(still_open))
        assert set(still_open) == running

    @invariant()
    def final_is_final_until_a_person_says_otherwise(self) -> None:
        for pk, state, result in Job.objects.filter(state__in=FINAL_STATES).values_list(
            "pk", "state", "result"
        ):
            assert self.final.setdefault(pk, (state, result)) == (state, result)
        unfinished = Job.objects.exclude(state__in=FINAL_STATES)
        assert not unfinished.exclude(result=None).exists()
        assert not unfinished.filter(pk__in=self.final).exists()

    @invariant()
    def the_result_is_that_of_the_attempt_that_succeeded(self) -> None:
        for job in Job.objects.filter(~Q(result=None)):
            last = job.attempts.order_by("-number").first()
            assert last and (last.outcome, job.state) == ("succeeded", "succeeded")
            assert job.result == str(last.pk)

    @invariant()
    def a_job_that_must_not_run_twice_was_lost_at_its_last_attempt_or_never(self) -> None:
        for job in Job.objects.filter(on_lost="fail"):
            for event in job.events.filter(why__startswith="lost").exclude(why__endswith=NEVER):
                assert event.state in ("failed", "cancelled")

    @invariant()
    def numbers_increase_by_one(self) -> None:
        for job in Job.objects.all():
            numbers = list(job.attempts.order_by("number").values_list("number", flat=True))
            assert numbers == list(range(1, job.tried + 1))

    @invariant()
    def the_history_tells_allowed_changes_only(self) -> None:
        for job in Job.objects.all():
            state = str(State.QUEUED)
            for event in job.events.exclude(state=""):
                assert event.state in TRANSITIONS[state], f"{state} -> {event.state}"
                state = event.state
            assert state == job.state

    def teardown(self) -> None:
        """Left alone with nodes that work, everything ends."""
        Job.objects.update(held=False)
        for _ in range(400):
            self.now += timedelta(seconds=400)
            run_once(self.engine, self.desk, self.now)
            for bundle in set(self.engine.sent) - self.gone:
                self.gone.add(bundle)
                self.engine.end(bundle)
            if not Job.objects.exclude(state__in=FINAL_STATES).exists():
                break
        stuck = list(Job.objects.exclude(state__in=FINAL_STATES).values())
        assert not stuck


@pytest.mark.django_db
@pytest.mark.timeout(300)
def test_no_interleaving_breaks_a_promise() -> None:
    run_state_machine_as_test(
        Work,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
