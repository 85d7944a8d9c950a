"""One line makes a node: the script run for real, without root and without Internet."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from cluster.models import Invitation, Node
from jobs.models import Job
from tests.factories import make_user
from tests.faults.web import Web
from tests.live.fleet import Fleet, fleet, wait_for

pytestmark = [
    pytest.mark.live,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(240),
    pytest.mark.skipif(not shutil.which("curl"), reason="the line needs curl"),
]
NOBODY = 65534
AS_ROOT = os.getuid() == 0


class Machine:
    """Another machine, as far as the script can tell: a home, a user, an address of its own."""

    def __init__(self, home: Path, address: str) -> None:
        self.home, self.address = home, address
        self.folder = home / ".local/share/dispycluster-node/pi-9"

    def run(self, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
        found = {
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(self.home),
            # Nobody there: what is not served by the control room cannot be had.
            "PIP_INDEX_URL": "http://127.0.0.1:9/",
            "PIP_RETRIES": "0",
            **({} if AS_ROOT else {"DISPYCLUSTER_PYTHON": sys.executable}),
            **environment,
        }
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if AS_ROOT else {}
        return subprocess.run(
            ["sh", "-c", line], env=found, cwd=self.home, stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=200, **user,  # type: ignore
        )  # fmt: skip

    def processes(self) -> list[int]:
        """Those that were started from its folder."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if str(self.folder).encode() in path.read_bytes():
                    found.append(int(path.parent.name))
        return found

    def end(self) -> None:
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Fleet]:
    """A dispatcher whose only node is not there."""
    with fleet(tmp_path, nodes=1) as made:
        yield made


@pytest.fixture
def machine(alone: Fleet) -> Iterator[Machine]:
    if AS_ROOT and sys.version_info[:2] > (3, 11) and not shutil.which("python3", path="/usr/bin"):
        pytest.skip("no Python that everybody may use")
    home = Path(tempfile.mkdtemp(prefix="dispycluster-join-"))
    if AS_ROOT:
        os.chown(home, NOBODY, NOBODY)
    made = Machine(home, alone.addresses[0].rpartition(".")[0] + ".9")
    yield made
    made.end()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def chief() -> User:
    return make_user("chief", is_staff=True)


@pytest.fixture
def web(alone: Fleet, chief: User) -> Web:
    alone.start_dispatcher()
    made = Web(alone)
    made.sign_in(chief)
    made.start()
    return made


def test_one_line_makes_a_node_that_has_run_a_job(
    alone: Fleet, machine: Machine, web: Web, chief: User
) -> None:
    wishes = {"name": "pi-9", "address": machine.address, "slots": 2, "tags": ["camera"]}
    status, made, _ = web.ask("POST", "/api/cluster/invitations", wishes)
    assert status == 201, made
    started = time.monotonic()
    done = machine.run(made["line"])
    seconds = time.monotonic() - started
    assert done.returncode == 0, f"{done.stdout}\n{alone.logs()}"
    assert "package index" not in done.stdout
    print(f"{done.stdout}\na join took {seconds:.1f} s")

    status, found, _ = web.ask("GET", f"/api/cluster/invitations/{made['id']}")
    assert [check["name"] for check in found["checks"] if check["level"] != "good"] == [], found
    assert found["state"] == "used"
    job = Job.objects.get(pk=found["welcome_job"])
    assert (job.name, job.state, job.owner) == ("welcome pi-9", "succeeded", chief)
    node = Node.objects.get(address=machine.address)
    assert (node.name, node.slots, node.tags, node.added_by) == ("pi-9", 2, ["camera"], "chief")
    assert job.attempts.get().node == node

    secret = machine.folder / "secrets" / "secret"
    assert oct(secret.stat().st_mode)[-3:] == "600"
    assert secret.read_text().strip() == alone.environment["DISPY_SECRET"]
    assert {os.stat(f"/proc/{pid}").st_uid for pid in machine.processes()} == {
        NOBODY if AS_ROOT else os.getuid()
    }
    assert made["line"].split("/join/")[1].split()[0] not in alone.logs()

    again = machine.run(made["line"])
    assert again.returncode == 0 and "410" in again.stdout  # sh was given nothing to run

    removed = machine.run(f"sh {machine.folder}/remove")
    assert removed.returncode == 0, removed.stdout
    assert not machine.folder.exists()
    wait_for(lambda: not machine.processes(), 20, "nothing left of it")


def test_run_again_with_a_new_invitation_it_updates_what_is_there(
    alone: Fleet, machine: Machine, web: Web
) -> None:
    wishes = {"name": "pi-9", "address": machine.address}
    for turn in range(2):
        status, made, _ = web.ask("POST", "/api/cluster/invitations", wishes)
        assert status == 201, made
        first, second, third = made["look_first"].splitlines()
        assert second == "less join.sh"
        done = machine.run(f"{first} && {third}", DISPYCLUSTER_SLOTS="1")
        assert done.returncode == 0, f"{done.stdout}\n{alone.logs()}"
        assert ("virtual environment" in done.stdout) == (turn == 0)
    assert Node.objects.filter(address=machine.address, online=True).count() == 1
    assert Invitation.objects.exclude(used_at=None).count() == 2
    assert Job.objects.filter(name="welcome pi-9", state="succeeded").count() == 2


def test_what_is_wrong_is_said_there_and_here_and_the_invitation_is_still_good(
    alone: Fleet, machine: Machine, web: Web
) -> None:
    wishes = {"name": "pi-9", "address": machine.address}
    status, made, _ = web.ask("POST", "/api/cluster/invitations", wishes)
    assert status == 201, made
    alone.kill("dispatcher")
    done = machine.run(made["line"])
    assert done.returncode == 1
    assert "Cannot connect to the dispatcher" in done.stdout
    _, found, _ = web.ask("GET", f"/api/cluster/invitations/{made['id']}")
    checks = {check["name"]: check for check in found["checks"]}
    assert found["state"] == "open"
    assert checks["clock"]["ok"] and checks["port_in"]["ok"] is False
    assert "refused" in checks["port_in"]["words"]
    assert checks["packages"]["ok"] is None
    elsewhere = machine.run(made["line"], DISPYCLUSTER_ADDRESS="192.0.2.7")
    assert "192.0.2.7 is not an address of this machine" in elsewhere.stdout
