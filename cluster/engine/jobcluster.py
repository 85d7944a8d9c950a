"""dispy's JobCluster for our one computation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dispy

import node
from cluster.engine import computation
from cluster.engine.link import Link


class Computation(dispy.JobCluster):
    """Callbacks as properties: dispy's own check of them fails since Python 3.11."""

    desk: Any

    job_status = property(lambda self: self.desk.on_job, lambda self, value: None)
    cluster_status = property(lambda self: self.desk.on_node, lambda self, value: None)


class Allocation(dispy.NodeAllocate):
    """Every listed node, with all its slots."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.ip_addr, self.ip_rex, self.port, self.cpus = "127.0.0.1", "", None, 0
        self.depends: list[Any] = []
        self.setup_args = ()

    def allocate(
        self, cluster: Any, ip_addr: str, name: str, cpus: int, avail_info: Any = None,
        platform: str = "",
    ) -> int:  # fmt: skip
        """dispy reads depends right after this call."""
        stock = not hasattr(avail_info, "passport")
        self.depends = runner_files() if stock else []
        return cpus if ip_addr in self.link.listed else 0


def runner_files() -> list[Any]:
    """What a stock dispynode needs to run bundles: our package node, copied beside the jobs."""
    files = []
    for path in sorted(Path(node.__file__).parent.glob("*.py")):
        file = dispy._XferFile(str(path))
        file.dest_path = "node"
        files.append(file)
    return files


def make_computation(link: Link, desk: Any, pulse_seconds: float) -> Any:
    """dispy's timer gets no intervals: it would drop busy nodes on its own judgement."""
    Computation.desk = desk
    made = Computation(
        computation.dispycluster_bundle,
        nodes=[Allocation(link)],
        depends=[],
        setup=computation.dispycluster_setup,
        reentrant=False,
    )
    made._compute.pulse_interval = pulse_seconds
    return made
