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
def stack(database: str, nodes: int, slots: int) -> Iterator["Fleet"]:
    """Django is set up for it in this process: once, so one stack a process."""
    with contextlib.ExitStack() as parts:
        temporary = tempfile.TemporaryDirectory(prefix="dispycluster-bench-")
        folder = Path(parts.enter_context(temporary))
        os.environ["DISPYCLUSTER_HOME"] = str(folder / "settings")
        if database == "postgres":
            os.environ["DATABASE_URL"] = parts.enter_context(postgres.server())
        else:
            os.environ["DATABASE_URL"] = f"sqlite:///{folder / 'database.sqlite3'}"
        os.environ["DJANGO_SETTINGS_MODULE"] = "dispycluster.settings"
        import django

        django.setup()
        from django.core.management import call_command

        from tests.live.fleet import fleet

        call_command("migrate", verbosity=0)
        yield parts.enter_context(fleet(folder, nodes, slots)).up()
