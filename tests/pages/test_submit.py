"""The submit page makes what the API makes, and says what is wrong beside the field."""

import json
from datetime import datetime
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django.fixtures import Settings

from cluster.models import Node
from jobs.models import File, Job, Sweep
from tests.factories import make_job


@pytest.fixture
def tasks(tmp_path: Path, settings: Settings) -> None:
    settings.TASKS = tmp_path
    (tmp_path / "sums.py").write_text(
        "from pathlib import Path\n"
        "def add(a: int, b: float = 2.5, loud: bool = False, how: str = 'x', more: list = []):\n"
        '    "Add two numbers."\n'
        "def lines(text: Path): ...\n"
    )


@pytest.mark.django_db
def test_a_command_with_limits_becomes_a_job(page: Client) -> None:
    data = {"command": "echo hi", "name": "greet", "priority": "5", "timeout_seconds": "60",
            "max_attempts": "3", "memory_mb": "64", "tags": "gpu, arm64", "on_lost": "fail",
            "outputs": "*.png, out.txt", "env": "A=1\nB=x=y",
            "run_at": "2030-01-02T03:04"}  # fmt: skip
    response = page.post("/submit?kind=command", data)
    job = Job.objects.get()
    assert response["Location"] == f"/jobs/{job.pk}"
    assert (job.name, job.priority, job.max_attempts, job.on_lost) == ("greet", 5, 3, "fail")
    assert job.spec.body == {
        "kind": "command", "command": "echo hi", "env": {"A": "1", "B": "x=y"},
        "outputs": ["*.png", "out.txt"], "timeout_seconds": 60.0, "memory_mb": 64,
    }  # fmt: skip
    assert job.need.body == {"tags": ["gpu", "arm64"], "memory_mb": 64}
    assert f"{job.run_at:%Y-%m-%d %H:%M}" == "2030-01-02 03:04"


@pytest.mark.django_db
def test_a_functions_form_comes_from_its_signature(page: Client, tasks: None) -> None:
    text = page.get("/submit?kind=function&function=sums.add").content.decode()
    assert "Add two numbers." in text
    assert 'type="number" name="arg_a"' in text and 'placeholder="2.5"' in text
    data = {"arg_a": "1", "arg_b": "", "arg_loud": "True", "arg_how": "", "arg_more": "[1, 2]"}
    page.post("/submit?kind=function&function=sums.add", data)
    assert json.loads(Job.objects.get().args) == {"a": 1, "loud": True, "more": [1, 2]}


@pytest.mark.django_db
def test_what_is_wrong_is_said_beside_the_field(page: Client, tasks: None) -> None:
    def errors(path: str, data: dict[str, str]) -> dict[str, list[str]]:
        response = page.post(path, data)
        assert response.status_code == 200
        return dict(response.context["form"].errors)

    assert "command" in errors("/submit?kind=command", {"command": " "})
    bad = errors("/submit", {"command": "x", "timeout_seconds": "-1", "priority": "1000"})
    assert set(bad) == {"timeout_seconds", "priority"}
    both = errors("/submit", {"command": "", "env": "no equals", "memory_mb": "1"})
    assert set(both) == {"command", "env", "memory_mb"}
    assert "arg_a" in errors("/submit?kind=function&function=sums.add", {"arg_a": "many"})
    assert "memory_mb" in errors("/submit", {"command": "x", "memory_mb": "1"})
    over = {"command": "x", "over": "seed", "mode": "grid"}
    assert "over" in errors("/submit?kind=sweep&of=command", over)
    uneven = {"command": "x", "over": "a: 1, 2\nb: 1", "mode": "zip"}
    assert "over" in errors("/submit?kind=sweep&of=command", uneven)
    assert "more" in errors("/submit", {"command": "x", "more": "[1]"})
    assert errors("/submit", {"command": "x", "more": '{"colour": 1}'})["more"][0].startswith(
        "colour:"
    )
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_uploaded_files_are_stored_and_survive_a_form_with_errors(
    page: Client, tasks: None
) -> None:
    upload = SimpleUploadedFile("in.txt", b"some text")
    wrong = page.post("/submit", {"command": "", "uploads": upload})
    file = File.objects.get()
    kept = f"{file.digest} in.txt"
    assert f'value="{kept}" checked' in wrong.content.decode()
    page.post("/submit", {"command": "cat in.txt", "kept": kept})
    assert Job.objects.get().spec.body["files"] == {"in.txt": file.digest}
    page.post("/submit?kind=function&function=sums.lines", {"kept": kept})
    assert json.loads(Job.objects.latest("pk").args) == {"text": "in.txt"}


@pytest.mark.django_db
def test_a_sweep_shows_its_first_points_and_its_total_before_it_is_made(page: Client) -> None:
    data = {"command": "run {seed} {size}", "over": "seed: 0..500\nsize: 1, 2, 4", "mode": "grid"}
    preview = page.post("/submit/preview?kind=sweep&of=command", data).content.decode()
    assert "1\u202f500" in preview
    assert preview.count("<li>{&quot;seed&quot;") == 5
    assert "/api/sweeps" in preview
    response = page.post("/submit?kind=sweep&of=command", {**data, "preview": "1"})
    assert response.status_code == 200 and not Sweep.objects.exists()
    page.post("/submit?kind=sweep&of=command", data)
    sweep = Sweep.objects.get()
    assert (sweep.total, sweep.jobs.count()) == (1500, 1500)


@pytest.mark.django_db
def test_the_side_panel_says_who_can_take_it(page: Client, node: Node) -> None:
    taken = page.post("/submit/preview", {"command": "x"}).content.decode()
    assert "4 slots free" in taken
    refused = page.post("/submit/preview", {"command": "x", "tags": "gpu"}).content.decode()
    assert "lacks the tag gpu" in refused


@pytest.mark.django_db
def test_a_clone_starts_from_what_the_job_was(page: Client, tasks: None, now: datetime) -> None:
    job = make_job(
        now, function="sums.add", args={"a": 7, "more": [1]}, priority=4, isolation="shared",
        needs={"tags": ["gpu"], "exclude": ["pi-4"]}, strategy="round_robin",
    )  # fmt: skip
    response = page.get(f"/submit?clone={job.pk}")
    form = response.context["form"]
    data = {name: str(value) for name, value in form.initial.items() if value is not None}
    page.post(response.context["action"], data)
    again = Job.objects.latest("pk")
    assert again.pk != job.pk
    assert (again.spec_id, again.args, again.priority) == (job.spec_id, job.args, 4)
    assert (again.need_id, again.strategy) == (job.need_id, "round_robin")
    assert page.get("/submit?clone=nonsense").status_code == 404
