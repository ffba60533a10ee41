"""The number of processors for `worker_processes auto`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import ceil, inf
from pathlib import Path


def usable_processors() -> int:
    """The number of processors in our affinity mask, or fewer if a control group allows less time; at least 1."""
    return max(1, ceil(min(cgroup_quota(), float(len(allowed_processors())))))


def allowed_processors() -> list[int]:
    """Numbers of the processors that the affinity mask lets us run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cgroup_quota(root: Path = Path("/")) -> float:
    """The limit of processor time of our control groups and their parents, in processors; `inf` without a limit.

    `root` is the folder of /proc and /sys.
    """
    try:
        membership = (root / "proc/self/cgroup").read_text()
    except OSError:
        return inf  # no control groups here
    quota = inf
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        for group in _with_parents(path):
            if not controllers:
                quota = min(quota, _unified_quota(root / "sys/fs/cgroup" / group))
            elif "cpu" in controllers.split(","):
                quota = min(quota, _legacy_quota(root / "sys/fs/cgroup/cpu" / group))
    return quota


def _with_parents(path: str) -> Iterator[str]:
    """A group and its parents. In a container, the outer ones may be invisible; they are skipped."""
    group = Path(path.strip("/"))
    yield str(group)
    yield from (str(parent) for parent in group.parents)


def _unified_quota(folder: Path) -> float:
    """cpu.max of version 2: "QUOTA PERIOD" in microseconds, or "max PERIOD"."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return inf
    return inf if quota == "max" else int(quota) / int(period)


def _legacy_quota(folder: Path) -> float:
    """cpu.cfs_quota_us and cpu.cfs_period_us of version 1; a quota of -1 means no limit."""
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return inf
    return quota / period if quota > 0 and period > 0 else inf
