"""A stack of its own for a benchmark: a home, a database, a dispatcher, nodes on loopback."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tests import postgres

if TYPE_CHECKING:
    from tests.live.fleet import Fleet


@contextlib.contextmanager
def database(kind: str) -> Iterator[Path]:
    """A migrated database, for which Django is set up in this process: once a process.

    PostgreSQL as Debian sets it up, SQLite as the project does: all that is committed is on the
    disk. Yields a temporary folder.
    """
    with contextlib.ExitStack() as parts:
        temporary = tempfile.TemporaryDirectory(prefix="dispycluster-bench-")
        folder = Path(parts.enter_context(temporary))
        os.environ["DISPYCLUSTER_HOME"] = str(folder / "settings")
        os.environ["DISPYCLUSTER_TASKS"] = str(Path(__file__).parent / "tasks")
        if kind == "postgres":
            os.environ["DATABASE_URL"] = parts.enter_context(postgres.running([])).url
        else:
            os.environ["DATABASE_URL"] = f"sqlite:///{folder / 'database.sqlite3'}"
        os.environ["DJANGO_SETTINGS_MODULE"] = "dispycluster.settings"
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        yield folder


@contextlib.contextmanager
def stack(kind: str, nodes: int, slots: int) -> Iterator["Fleet"]:
    with database(kind) as folder:
        from tests.live.fleet import fleet

        with fleet(folder, nodes, slots) as made:
            yield made.up()
