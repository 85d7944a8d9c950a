"""What is kept for a time only: alerts, notices, samples, files that belong to nothing."""

import os
import time
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client

from jobs import files
from jobs.models import Attempt, File
from monitoring import retention, sizes
from monitoring.models import Alert, Channel, Delivery, Sample, Silence
from schedules.models import Run, Schedule
from tests.factories import NOW, make_job, make_node, make_user

pytestmark = pytest.mark.django_db
LATE = NOW + timedelta(days=retention.ALERT_DAYS, seconds=1)


@pytest.fixture(autouse=True)
def home(settings: Any, tmp_path: Path) -> Path:
    """Folders of this test's own."""
    settings.HOME, settings.FILES = tmp_path, tmp_path / "files"
    for folder in (settings.FILES, tmp_path / "engine" / "incoming"):
        folder.mkdir(parents=True)
    return tmp_path


def old(path: Path, data: bytes = b"12345", age: float = retention.OLD_SECONDS + 60) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (time.time() - age,) * 2)
    return path


def make_alert(name: str, **more: Any) -> Alert:
    values = {"severity": "warning", "started_at": NOW, **more}
    if "resolved_at" in more:
        values["state"] = "resolved"
    return Alert.objects.create(rule="node_down", subject=name, **values)


def test_what_was_resolved_or_sent_long_ago_goes_and_what_is_open_stays() -> None:
    channel = Channel.objects.create(name="mail", url="mailto:a@b", created_at=NOW)
    ended, open_one = make_alert("a", resolved_at=NOW), make_alert("b")
    recent = make_alert("c", resolved_at=NOW + timedelta(days=3))
    for state in ("sent", "failed", "queued"):
        made = Delivery.objects.create(channel=channel, kind="firing", state=state, title="t",
                                       body="", created_at=NOW, due_at=NOW)  # fmt: skip
        made.alerts.add(ended, open_one)
    Silence.objects.create(comment="x", created_at=NOW, created_by="a", ends_at=NOW)
    Silence.objects.create(comment="x", created_at=NOW, created_by="a", ends_at=LATE)
    foreseen = retention.clean(LATE, None, dry_run=True)
    assert Alert.objects.count() == 3
    gone = retention.clean(LATE, None)
    assert foreseen == gone
    assert +gone.rows == {"alerts": 1, "notices": 2, "silences": 1}
    assert set(Alert.objects.all()) == {open_one, recent}
    assert Delivery.objects.get().state == "queued"
    assert not retention.clean(LATE, None).anything


def test_samples_beyond_their_time_go_as_a_dry_run_said(settings: Any) -> None:
    for age, seconds in ((0.5, 10), (2, 10), (3, 10), (2, 60), (8, 60), (400, 900)):
        Sample.objects.create(at=NOW - timedelta(days=age), seconds=seconds, values={"busy": 1})
    foreseen = retention.clean(NOW, None, dry_run=True)
    assert Sample.objects.count() == 6
    assert retention.clean(NOW, None) == foreseen
    assert foreseen.rows["samples"] == 3
    settings.SAMPLES_BYTES = 400  # room for two
    foreseen = retention.clean(NOW, None, dry_run=True)
    assert retention.clean(NOW, None).rows["samples"] == foreseen.rows["samples"] == 1


def test_what_schedules_did_long_ago_goes_but_for_the_last_time() -> None:
    schedule = Schedule.objects.create(
        name="s", owner=make_user(), what="job", body={}, cron="* * * * *", zone="UTC",
        reckoned_at=NOW, created_at=NOW, changed_at=NOW,
    )  # fmt: skip
    for n in range(3):
        at = NOW + timedelta(minutes=n)
        Run.objects.create(schedule=schedule, scheduled_for=at, at=at, outcome="missed", until=at)
    foreseen = retention.clean(LATE, 30, dry_run=True)
    assert retention.clean(LATE, 30) == foreseen
    assert foreseen.rows["schedule runs"] == 2
    assert Run.objects.count() == 1


def test_stored_bytes_without_a_row_go_once_they_are_a_day_old(home: Path) -> None:
    kept = files.store([b"kept"], make_user(), NOW)
    os.utime(files.path(kept.digest), (0, 0))
    lost = old(home / "files" / "ab" / ("ab" + "0" * 62))
    young = old(home / "files" / "ab" / ("ab" + "1" * 62), age=60)
    strange = old(home / "files" / "ab" / "notes.txt")
    draft, new_draft = old(home / "files" / f".77.{'a' * 16}"), home / "files" / f".78.{'b' * 16}"
    new_draft.write_bytes(b"x")
    foreseen = retention.clean(NOW, None, dry_run=True)
    assert lost.exists()
    gone = retention.clean(NOW, None)
    assert gone == foreseen
    assert gone.files["files without a row"] == retention.Files(1, 5)
    assert gone.files["temporary files"] == retention.Files(1, 5)
    assert not lost.exists() and not draft.exists()
    assert young.exists() and strange.exists() and new_draft.exists()
    assert files.path(kept.digest).exists()
    assert File.objects.count() == 1


def test_artifacts_that_nobody_fetched_go_but_not_those_of_an_open_attempt(home: Path) -> None:
    job, node = make_job(), make_node()
    attempt = Attempt.objects.create(job=job, number=1, node=node, bundle=1, claimed_at=NOW)
    folder, digest = home / "engine" / "incoming", "c" * 64
    awaited = old(folder / f"{attempt.pk}-0-{digest}")
    stray, part = old(folder / f"{attempt.pk + 1}-0-{digest}"), old(folder / ".x.part")
    retention.clean(NOW, None)
    assert awaited.exists() and not stray.exists() and not part.exists()
    Attempt.objects.update(finished_at=NOW, outcome="lost")
    retention.clean(NOW, None)
    assert not awaited.exists()


def test_links_are_not_followed(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = old(tmp_path_factory.mktemp("outside") / "precious")
    link = home / "files" / "ab" / ("ab" + "2" * 62)
    link.parent.mkdir()
    link.symlink_to(outside)
    os.utime(link, (0, 0), follow_symlinks=False)
    retention.clean(NOW, None)
    assert outside.exists()


def test_without_folders_there_is_nothing_to_do(home: Path, settings: Any) -> None:
    settings.HOME, settings.FILES = home / "no", home / "no" / "files"
    assert not retention.clean(NOW, None).anything


def test_sizes_are_those_of_the_database() -> None:
    make_job()
    found = sizes.measure()
    assert found.tables["jobs"].rows == 1
    assert found.database > 100_000
    if connection.vendor == "postgresql":
        assert found.tables["jobs"].bytes
        assert found.free is None


def test_the_command_reports_rows_files_and_the_database(home: Path) -> None:
    old(home / "files" / "ab" / ("ab" + "0" * 62), b"x" * 2000)
    out = StringIO()
    call_command("cleanup", "--days", "1", "--dry-run", stdout=out)
    assert "would go" in out.getvalue()
    assert "files without a row" in out.getvalue()
    assert "2.0 kB" in out.getvalue()
    out = StringIO()
    call_command("cleanup", "--days", "1", stdout=out)
    assert "deleted" in out.getvalue()
    assert "database" in out.getvalue()
    assert sizes.measure().files.rows == 0


@pytest.mark.django_db(transaction=True)
def test_vacuum_gives_free_pages_back() -> None:
    for n in range(300):
        make_alert(f"{n}", resolved_at=NOW, facts={"text": "x" * 3000})
    Alert.objects.all().delete()
    before = sizes.database_bytes()
    out = StringIO()
    call_command("cleanup", "--days", "10000", "--vacuum", stdout=out)
    after = sizes.database_bytes()
    if connection.vendor == "sqlite":
        assert before[1] and before[1] > 500_000
        assert after[1] == 0
        assert after[0] < before[0]


def test_the_api_says_the_same_in_a_dry_run(client: Client, home: Path) -> None:
    old(home / "files" / "ab" / ("ab" + "0" * 62))
    make_alert("a", resolved_at=datetime(2020, 1, 1, tzinfo=UTC))
    client.force_login(make_user())
    assert client.post("/api/dispy/cleanup").status_code == 403
    client.force_login(make_user("chief", is_staff=True))
    answers = [
        client.post("/api/dispy/cleanup", {"dry_run": dry}, content_type="application/json").json()
        for dry in (True, False, False)
    ]
    told = [{name: answer[name] for name in ("rows", "files", "bytes")} for answer in answers]
    assert told[0] == told[1] == {"rows": {"alerts": 1}, "files": 1, "bytes": 5}
    assert told[2]["files"] == 0
    refused = client.post(
        "/api/dispy/cleanup", {"dry_run": "maybe"}, content_type="application/json"
    )
    assert list(refused.json()) == ["dry_run"]
