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
from typing import Any

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
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
Done = subprocess.CompletedProcess[str]


class Machine:
    """Another machine, as far as the script can tell: a home, a user, an address of its own."""

    def __init__(self, home: Path, address: str) -> None:
        self.home, self.address = home, address
        self.folder = home / ".local/share/dispycluster-node/pi-9"

    def run(self, line: str, root: bool = False, **environment: str) -> Done:
        """As nobody, or as ourselves where we are no root; `root`: as root all the same."""
        found = {
            "PATH": PATH,
            "HOME": str(self.home),
            # Nobody there: what is not served by the control room cannot be had.
            "PIP_INDEX_URL": "http://127.0.0.1:9/",
            "PIP_RETRIES": "0",
            **({} if AS_ROOT else {"DISPYCLUSTER_PYTHON": sys.executable}),
            **environment,
        }
        nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        user: Any = nobody if AS_ROOT and not root else {}
        return subprocess.run(
            ["sh", "-c", line], env=found, cwd=self.home, stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=200, **user,
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
    home = Path(tempfile.mkdtemp(prefix="dispycluster-join-"))
    if AS_ROOT:
        os.chown(home, NOBODY, NOBODY)
    made = Machine(home, alone.addresses[0].rpartition(".")[0] + ".9")
    usable = 'python3 -c "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"'
    if AS_ROOT and made.run(usable).returncode:
        pytest.skip("no Python 3.11 with venv that everybody may use")
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


# Enough of systemctl for the script, which then believes in a systemd: units are started as they
# say, in the background.
SYSTEMCTL = """#!/bin/sh
[ "$1" != --user ] || shift
case $1 in
    restart)
        unit=$(ls "$HOME/.config/systemd/user/$2" "/etc/systemd/system/$2" 2> /dev/null)
        user=$(sed -n s/^User=//p "$unit")
        command=$(sed -n s/^ExecStart=//p "$unit")
        setsid ${user:+runuser -u $user --} $command > /dev/null 2>&1 &
        echo $! > "$HOME/started"
        ;;
    stop)
        group=-$(cat "$HOME/started") && kill -s TERM -- $group
        while kill -s 0 -- $group 2> /dev/null; do sleep 0.2; done
        ;;
esac
exit 0
"""


def verified(unit: Path, home: Path, *options: str) -> str:
    """What systemd itself has to say of the unit file, where it is installed."""
    if not shutil.which("systemd-analyze"):
        return ""
    command = ["systemd-analyze", *options, "verify", "--man=no", str(unit)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={"PATH": PATH, "HOME": str(home)}
    )
    return "".join(line for line in done.stderr.splitlines() if unit.name in line)


def test_with_a_systemd_of_the_user_it_is_a_service(
    alone: Fleet, machine: Machine, web: Web
) -> None:
    bin_folder = machine.home / "bin"
    bin_folder.mkdir()
    (bin_folder / "systemctl").write_text(SYSTEMCTL)
    (bin_folder / "systemctl").chmod(0o755)
    machine.home.chmod(0o755)
    wishes = {"name": "pi-9", "address": machine.address, "slots": 1}
    _, made, _ = web.ask("POST", "/api/cluster/invitations", wishes)
    done = machine.run(made["line"], PATH=f"{bin_folder}:{PATH}")
    assert done.returncode == 0, f"{done.stdout}\n{alone.logs()}"
    assert "as a systemd service of its user" in done.stdout
    unit = machine.home / ".config/systemd/user/dispycluster-node-pi-9.service"
    text = unit.read_text()
    assert "KillMode=control-group" in text and "Restart=always" in text
    assert f"ExecStart={machine.folder}/start" in text
    assert verified(unit, machine.home, "--user") == ""
    removed = machine.run(f"{machine.folder}/remove", PATH=f"{bin_folder}:{PATH}")
    assert removed.returncode == 0, removed.stdout
    assert not unit.exists() and not machine.folder.exists() and not machine.processes()


def unshared() -> bool:
    return AS_ROOT and not subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode


# In a name space of its own: what root changes in /etc and /opt is gone with it.
AS_IF_ON_ITS_OWN = """
mkdir {home}/etc {home}/bin && cp -a /etc/. {home}/etc && mount --bind {home}/etc /etc &&
mount -t tmpfs none /opt && mount -t tmpfs none /run && mkdir -p /run/systemd/system || exit 9
cp {home}/systemctl {home}/bin && chmod 755 {home}/bin/systemctl && export PATH={home}/bin:$PATH
{line} || exit 8
id dispycluster
ps -eo user:20,args | grep "[n]ode.agent --host {address}"
stat -c "%U %a" /opt/dispycluster-node/pi-9/secrets/secret /opt/dispycluster-node/pi-9/code
cp /etc/systemd/system/dispycluster-node-pi-9.service {home}
/opt/dispycluster-node/pi-9/remove || exit 7
ls -A /opt
id dispycluster
"""


@pytest.mark.skipif(not unshared(), reason="needs root and a mount name space")
def test_root_makes_a_user_and_a_service_of_the_machine(
    alone: Fleet, machine: Machine, web: Web
) -> None:
    (machine.home / "systemctl").write_text(SYSTEMCTL)
    machine.home.chmod(0o755)
    wishes = {"name": "pi-9", "address": machine.address, "slots": 1}
    _, made, _ = web.ask("POST", "/api/cluster/invitations", wishes)
    whole = AS_IF_ON_ITS_OWN.format(home=machine.home, address=machine.address, line=made["line"])
    (machine.home / "whole.sh").write_text(whole)
    done = machine.run(f"unshare -m sh {machine.home}/whole.sh", root=True)
    assert "pi-9 is a node of the cluster." in done.stdout, f"{done.stdout}\n{alone.logs()}"
    assert "as a systemd service, so also after a reboot" in done.stdout
    assert "(dispycluster) gid=" in done.stdout
    after = done.stdout.split("is a node of the cluster.")[1]
    agents = [line for line in after.splitlines() if "node.agent" in line]
    assert agents and {line.split()[0] for line in agents} == {"dispycluster"}, done.stdout
    assert "dispycluster 600" in after and "root 755" in after
    assert "no such user" in after and done.returncode == 1, done.stdout  # that of the last `id`
    unit = machine.home / "dispycluster-node-pi-9.service"
    assert "User=dispycluster" in unit.read_text()
    assert "ProtectSystem=strict" in unit.read_text()
