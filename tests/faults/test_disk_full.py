"""F11: no space left, for the home folder, a node's scratch folder, the database."""

import contextlib
import errno
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from jobs.models import Lease
from tests import factories
from tests.faults.elsewhere import Elsewhere
from tests.faults.record import verdict
from tests.faults.web import Web
from tests.faults.work import ended, ledger_job, lines, make_job, online, text
from tests.live.fleet import fleet, wait_for

pytestmark = [pytest.mark.live, pytest.mark.timeout(90)]

MEGABYTE = 2**20


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of that size, mounted there."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small file system to be had here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, leave: int) -> Path:
    """Take all but so many bytes; returns the file to delete again."""
    filler = folder / "filler"
    with filler.open("wb") as file:
        try:
            while (room := shutil.disk_usage(folder).free - leave) > 0:
                file.write(bytes(min(room, MEGABYTE)))
                file.flush()
        except OSError as error:
            assert error.errno == errno.ENOSPC
    return filler


def note() -> str:
    return Lease.objects.values_list("note", flat=True).get(name="dispatcher")


@pytest.mark.django_db(transaction=True)
def test_f11_the_home_folder_is_full(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with fleet(tmp_path, nodes=1) as made, small_disk(made.home, 128):
        (made.home / "files").mkdir()
        made.up()
        web = Web(made)
        web.sign_in(factories.make_user())
        web.start()
        filler = fill(made.home, leave=40 * MEGABYTE)
        wait_for(lambda: "MB free" in note(), 10, f"it says so\n{made.logs()}")
        waiting = ledger_job(ledger, "true")
        status, answer, _ = web.upload(bytes(50 * MEGABYTE))
        assert (status, "space" in answer["detail"]) == (507, True), answer
        assert shutil.disk_usage(made.home).free > 39 * MEGABYTE  # nothing partial stays
        time.sleep(3)  # more than a pass
        assert not waiting.attempts.exists()
        made_of = {name: process.poll() for name, process in made.processes.items()}
        assert set(made_of.values()) == {None}, f"{made_of}\n{made.logs()}"
        filler.unlink()
        started = time.monotonic()
        assert ended(waiting).state == "succeeded"
        recovered = time.monotonic() - started
        assert note() == ""
        assert web.upload(b"small")[0] == 201
        verdict("F11", [waiting], ledger, recovered, bound=10)


@pytest.mark.django_db(transaction=True)
def test_f11_a_nodes_scratch_folder_is_full(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    with fleet(tmp_path, nodes=1) as made:
        [address] = made.addresses
        with small_disk(made.folder / address, 8):
            made.up()
            greedy = ended(ledger_job(ledger, "head -c 40M /dev/zero > big"))
            assert greedy.state == "failed"
            assert b"No space left on device" in text(greedy, "stderr")
            lost = make_job(command="head -c 40M /dev/zero > kept", outputs=["kept"])
            assert ended(lost).state == "failed"
            started = time.monotonic()
            after = ended(ledger_job(ledger, "head -c 2M /dev/zero > fits && wc -c < fits"))
            assert text(after).strip() == b"2097152"
            assert online(address)
            took = time.monotonic() - started
            verdict("F11", [greedy, lost, after], ledger, took, bound=10)


def test_f11_the_databases_disk_is_full(db: None, tmp_path: Path) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("a full disk stops a PostgreSQL server, which is F9")
    with fleet(tmp_path, nodes=1) as made, small_disk(tmp_path / "database", 16) as disk:
        whole = Elsewhere(made, f"sqlite:///{disk / 'database.sqlite3'}").up()
        go_on = tmp_path / "go-on"
        running = whole.submit(f"while [ ! -e {go_on} ]; do sleep 0.1; done")
        whole.begun(running)
        filler = fill(disk, leave=0)
        refused = whole.body("true", name="x" * 200)
        wait_for(lambda: whole.web.submit(refused, "mine")[0] == 503, 10, "no space left")
        go_on.touch()  # its answer cannot be written now
        time.sleep(5)
        whole.alive()
        count = len(lines(whole.ledger))
        filler.unlink()
        started = time.monotonic()
        whole.succeeded(running)
        recovered = time.monotonic() - started
        late = whole.take(whole.web.submit(refused, "mine"))
        whole.succeeded(late)
        assert len(lines(whole.ledger)) > count
        whole.alive()
        whole.judge("F11", recovered, 10)


@pytest.mark.django_db(transaction=True)
def test_f11_not_a_byte_is_left_in_the_home_folder(tmp_path: Path) -> None:
    """Meanwhile an artifact cannot be kept, a node goes and comes, and so does the dispatcher."""
    ledger = tmp_path / "ledger"
    with fleet(tmp_path, nodes=1) as made, small_disk(made.home, 96):
        (made.home / "files").mkdir()
        made.up()
        [address] = made.addresses
        running = ledger_job(ledger, "sleep 3; echo x > a", on_lost="fail", outputs=["a"])
        wait_for(lambda: lines(ledger), 10, f"start\n{made.logs()}")
        filler = fill(made.home, leave=0)
        wait_for(note, 10, f"it says so\n{made.logs()}")
        waiting = ledger_job(ledger, "true", on_lost="fail")
        assert ended(running).state == "succeeded"
        [artifact] = running.attempts.get().artifacts.all()
        assert (artifact.file, artifact.error) == (None, "could not be sent to the control room")
        made.kill(address)
        wait_for(lambda: not online(address), 15, f"it is missed\n{made.logs()}")
        made.start_node(address)
        wait_for(lambda: online(address), 30, f"its return\n{made.logs()}")
        assert {process.poll() for process in made.processes.values()} == {None}, made.logs()
        made.kill("dispatcher")
        made.start_dispatcher()
        wait_for(note, 20, f"the new one says so\n{made.logs()}")
        wait_for(lambda: online(address), 20, f"it is found again\n{made.logs()}")
        assert {process.poll() for process in made.processes.values()} == {None}, made.logs()
        assert not waiting.attempts.exists()
        filler.unlink()
        started = time.monotonic()
        assert ended(waiting).state == "succeeded", made.logs()
        recovered = time.monotonic() - started
        assert note() == ""
        verdict("F11", [running, waiting], ledger, recovered, bound=10)
