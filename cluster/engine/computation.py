"""The two functions that dispy ships to the nodes, as source text: nothing from here outside them.

On a node they find dispy's globals: dispy_job_path (the computation's folder, where input files
arrive), dispy_node_name, dispy_provisional_result, dispy_send_file; and from our agent,
dispycluster_work (where members get their scratch folders).
"""

from __future__ import annotations

from typing import Any

dispycluster_run: Any


def dispycluster_setup() -> int:
    """Once per node: warm up. The new global makes dispy fork each job from this process."""
    global dispycluster_run
    import ctypes
    import gc
    import signal

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, for a stock dispynode
    from node import turn  # noqa: F401  each bundle needs it
    from node.runner import run_bundle as dispycluster_run

    gc.freeze()  # or the first collection in each job copies all of this process's memory
    return 0


def dispycluster_bundle(text: str, after: int | None = None) -> str:
    """Once per bundle, in a process of its own. `after`: the bundle whose slot it gets."""
    import contextlib
    import os
    from pathlib import Path

    from node import turn

    here = globals()
    files = Path(here["dispy_job_path"])
    uid = here["__dispy_job_reply"].uid  # the bundle's id
    folder = Path(here.get("dispycluster_work") or files / "work", str(uid))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def report(progress: str) -> bool:
        return bool(here["dispy_provisional_result"](progress) == 0)

    def send_file(path: Path, name: str) -> bool:
        link = folder / name  # dispy sends a file under its own name
        os.symlink(path, link)
        try:
            return bool(here["dispy_send_file"](str(link)) == 0)
        finally:
            link.unlink()

    try:
        if after and not turn.comes(folder.parent / str(after)):
            return turn.nothing_started(text)
        return str(
            dispycluster_run(
                text,
                folder=folder,
                files=files,
                node=here["dispy_node_name"],
                report=report,
                send_file=send_file,
            )
        )
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()
