from __future__ import annotations

import os
from math import inf
from pathlib import Path

import pytest

from mailworker.process.system import processors
from mailworker.process.system.processors import allowed_processors, cgroup_quota, usable_processors

V2 = "sys/fs/cgroup"
V1 = "sys/fs/cgroup/cpu"


@pytest.mark.parametrize(
    ("membership", "files", "quota"),
    [
        (None, {}, inf),
        ("0::/\n", {}, inf),
        ("0::/\n", {f"{V2}/cpu.max": "max 100000\n"}, inf),
        ("0::/\n", {f"{V2}/cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b\n", {f"{V2}/a/cpu.max": "50000 100000\n", f"{V2}/a/b/cpu.max": "max 100000\n"}, 0.5),
        ("0::/outside\n", {f"{V2}/cpu.max": "200000 100000\n"}, 2.0),
        ("0::/a:b\n", {f"{V2}/a:b/cpu.max": "200000 100000\n"}, 2.0),
        ("0::/\n", {f"{V2}/cpu.max": "nonsense\n"}, inf),
        ("1:cpu:/\n", {f"{V1}/cpu.cfs_quota_us": "-1\n", f"{V1}/cpu.cfs_period_us": "100000\n"}, inf),
        ("1:cpu:/\n", {f"{V1}/cpu.cfs_quota_us": "300000\n", f"{V1}/cpu.cfs_period_us": "100000\n"}, 3.0),
        (
            "4:memory:/m\n1:cpu,cpuacct:/a\n0::/\n",
            {f"{V1}/a/cpu.cfs_quota_us": "1", f"{V1}/a/cpu.cfs_period_us": "2"},
            0.5,
        ),
        ("4:memory:/\n", {f"{V1}/cpu.cfs_quota_us": "1", f"{V1}/cpu.cfs_period_us": "2"}, inf),
    ],
)
def test_control_groups_are_respected(
    tmp_path: Path, membership: str | None, files: dict[str, str], quota: float
) -> None:
    if membership is not None:
        files = {**files, "proc/self/cgroup": membership}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert cgroup_quota(tmp_path) == quota


@pytest.mark.parametrize(("quota", "usable"), [(inf, 4), (0.1, 1), (1.0, 1), (1.5, 2), (3.9, 4), (64.0, 4)])
def test_a_quota_is_rounded_up_to_whole_processors(monkeypatch: pytest.MonkeyPatch, quota: float, usable: int) -> None:
    monkeypatch.setattr(processors, "allowed_processors", lambda: [0, 1, 2, 3])
    monkeypatch.setattr(processors, "cgroup_quota", lambda: quota)
    assert usable_processors() == usable


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity masks here")
def test_the_affinity_mask_is_respected() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert allowed_processors() == [min(before)]
        assert usable_processors() == 1
    finally:
        os.sched_setaffinity(0, before)
