"""A walk through the pages in a real browser."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from selenium.webdriver.common.by import By

from jobs.models import Attempt, Job, Output, Sweep
from tests.browser.walker import Walker
from tests.factories import hold_lease, make_job, make_node, make_sweep
from tests.pages.rows import HOSTILE, make_ended, make_running, make_world, write


def test_from_the_door_to_a_submitted_job_and_out_again(walk: Walker) -> None:
    walk.go("/submit?kind=script")
    walk.wait_path("/login?next=/submit")
    walk.fill("#id_username", "chief")
    walk.fill("#id_password", "wrong")
    walk.click("button.button-first")
    walk.wait("do not match")
    walk.fill("#id_password", "a long password")
    walk.click("button.button-first")
    walk.wait_path("/submit?kind=script")
    walk.fill("#id_source", "print(6 * 7)")
    walk.wait("The same by curl", "#preview")
    walk.click("#work button.button-first")
    walk.wait_path("/jobs/")
    job = Job.objects.get()
    assert job.spec.body["source"] == "print(6 * 7)"
    walk.wait(f"Job {job.pk} is in.")
    walk.click(".menu:last-child > summary")
    walk.click("form[action='/logout'] button")
    walk.wait_path("/login")


def test_a_jobs_page_follows_it_from_queued_to_done(walk: Walker, chief: User) -> None:
    now = timezone.now()
    node = make_node("pi-1")
    job = make_job(now, command="train", owner=chief)
    walk.sign_in()
    walk.go(f"/jobs/{job.pk}")
    walk.wait("queued", "#job-live .state-big")
    attempt = Attempt.objects.create(
        job=job, number=1, node=node, bundle=1, claimed_at=now, started_at=now
    )
    Job.objects.filter(pk=job.pk).update(state="running", tried=1, node=node, started_at=now)
    walk.wait("running", "#job-live .state-big")
    walk.go(f"/jobs/{job.pk}")
    Output.objects.create(attempt=attempt, stream="stdout", offset=0, data=b"epoch 1\nepo")
    walk.wait("epoch 1", "#console")
    Output.objects.create(attempt=attempt, stream="stdout", offset=11, data=b"ch 2\n")
    walk.wait("epoch 2", "#L2")
    Attempt.objects.filter(pk=attempt.pk).update(
        finished_at=now, outcome="succeeded", stdout_bytes=16, run_seconds=2.0
    )
    Job.objects.filter(pk=job.pk).update(state="succeeded", finished_at=now, result='{"loss": 0.5}')
    walk.wait("succeeded", "#job-live .state-big")
    walk.wait('"loss": 0.5', "#result-text")
    assert walk.count("#console .lines li") == 2
    assert walk.count("[data-refresh]:not(#beats)") == 0


def test_the_list_takes_news_without_moving_its_rows(walk: Walker, chief: User) -> None:
    now = timezone.now()
    node = make_node("pi-1")
    waiting, running = make_job(now), make_running(now, node)
    walk.sign_in()
    walk.go("/jobs")
    walk.wait("queued", f"#job-{waiting.pk}-state")
    walk.click(f"input[name=job][value='{waiting.pk}']")
    Job.objects.filter(pk=running.pk).update(state="failed", finished_at=now, error="boom")
    make_job(now)
    walk.wait("1 new job", "#job-news")
    walk.wait("failed", f"#job-{running.pk}-state")
    assert walk.count("tbody tr") == 2
    assert walk.find(f"input[name=job][value='{waiting.pk}']").is_selected()
    assert walk.find("button[value=cancel]").is_enabled()
    assert not walk.find("button[value=requeue]").is_enabled()
    walk.click("button[value=cancel]")
    walk.wait("Cancel 1 job?")
    walk.click("main form button")
    walk.wait("1 job cancelled.")
    waiting.refresh_from_db()
    assert waiting.state == "cancelled"


def test_a_sweep_is_previewed_while_it_is_typed(walk: Walker) -> None:
    walk.sign_in()
    walk.go("/submit?kind=sweep&of=command")
    walk.fill("#id_command", "run {seed}")
    walk.fill("#id_over", "seed: 0..12\nsize: 1, 2")
    walk.wait('{"seed": 2, "size": 1}', "#preview")
    walk.wait("24 jobs", "#preview")
    walk.click("#work button.button-first")
    walk.wait_path("/sweeps/")
    assert Sweep.objects.get().total == 24


def test_a_failed_job_keeps_what_was_unfolded_and_drops_nothing_foreign(
    walk: Walker, chief: User
) -> None:
    now = timezone.now()
    node = make_node("pi-1")
    job = make_ended(now, node, "failed", name=HOSTILE, error=HOSTILE, max_attempts=3)
    write(job, HOSTILE.encode() + b"\n", "stderr")
    later = now + timedelta(hours=1)
    Job.objects.filter(pk=job.pk).update(state="queued", finished_at=None, run_at=later)
    walk.sign_in()
    walk.go(f"/jobs/{job.pk}")
    walk.wait("retrying", "#job-live .state-big")
    walk.click("#receipt-1 summary")
    Job.objects.filter(pk=job.pk).update(priority=1, run_at=now)
    walk.wait("queued", "#job-live .state-big")
    assert walk.find("#receipt-1").get_attribute("open")
    assert walk.count("main script") == 0
    assert HOSTILE in walk.text("#console")


def test_keyboard_theme_and_language(walk: Walker) -> None:
    walk.sign_in()
    walk.keys("g", "n")
    walk.wait_path("/nodes")
    walk.keys("?")
    walk.wait("Keyboard shortcuts", "dialog[open]")
    walk.escape()
    walk.keys("/")
    walk.wait_path("/jobs")
    assert walk.driver.switch_to.active_element.get_attribute("id") == "q"
    walk.click(".menu summary")
    walk.click("[data-set-theme=dark]")
    dark = walk.find("html").value_of_css_property("background-color")
    walk.go("/nodes")
    assert walk.find("html").value_of_css_property("background-color") == dark
    walk.click(".menu summary")
    walk.click("[data-set-theme=light]")
    assert walk.find("html").value_of_css_property("background-color") != dark
    walk.click(".menu [value=fr]")
    walk.wait("Nœuds")
    assert walk.find("html").get_attribute("lang") == "fr"


@pytest.mark.parametrize("width", [375, 1280])
def test_no_page_is_wider_than_the_window(walk: Walker, chief: User, width: int) -> None:
    now = timezone.now()
    hold_lease(now)
    node = make_node(
        "a-node-with-a-name-longer-than-any-column-could-ever-be.example.org", slots=64
    )
    make_world(now, node, 2)
    long = make_ended(now, node, "failed", name="x" * 200, error="y" * 500)
    write(long, b"z" * 5000 + b"\n", "stderr")
    sweep = make_sweep(3, now)
    walk.sign_in()
    walk.narrow(width)
    paths = ["/", "/jobs", "/jobs?state=failed", f"/jobs/{long.pk}", "/submit?kind=command",
             "/submit?kind=sweep&function=montecarlo.pi_block", "/sweeps", f"/sweeps/{sweep.pk}",
             "/nodes", f"/nodes/{node.name}",
             f"/attempts/{long.attempts.get().pk}/stderr"]  # fmt: skip
    for path in paths:
        walk.go(path)
        assert walk.too_wide() == [], path
        assert walk.driver.find_elements(By.CSS_SELECTOR, "main h1"), path


def test_pages_are_whole_without_javascript(walk: Walker, chief: User) -> None:
    now = timezone.now()
    job = make_job(now, name="plain", owner=chief)
    walk.sign_in()
    walk.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        walk.go("/jobs")
        walk.click(f"input[name=job][value='{job.pk}']")
        walk.click("button[value=cancel]")
        walk.wait("Cancel 1 job?")
        walk.click("main form button")
        walk.wait("1 job cancelled.")
        walk.go("/submit?kind=sweep&of=command")
        walk.fill("#id_command", "run {seed}")
        walk.fill("#id_over", "seed: 0..3")
        walk.click("button[name=preview]")
        walk.wait("3 jobs", "#preview")
        walk.click("#work button.button-first")
        walk.wait_path("/sweeps/")
    finally:
        walk.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert Sweep.objects.get().total == 3
