"""A pytest plugin: each test process gets a home folder of its own and never sees a real one."""

import atexit
import os
import shutil
import tempfile

HOME = tempfile.mkdtemp(prefix="dispycluster-tests-")
OWNER = os.getpid()


@atexit.register
def remove() -> None:
    if os.getpid() == OWNER:  # not in a forked child
        shutil.rmtree(HOME, ignore_errors=True)


os.environ["DISPYCLUSTER_HOME"] = HOME
