from __future__ import annotations

import pytest

from mailworker.config.affinity import CpuAffinity
from mailworker.errors import ConfigError
from tests.config.conftest import Load


@pytest.mark.parametrize(
    ("text", "affinity"),
    [
        ("auto", CpuAffinity(True, ())),
        ("auto '0 11'", CpuAffinity(True, (0b11,))),
        ("1", CpuAffinity(False, (1,))),
        ("01 10", CpuAffinity(False, (1, 2))),
        ("' '", CpuAffinity(False, (0,))),
        ("1" * 1024, CpuAffinity(False, (2**1024 - 1,))),
    ],
)
def test_worker_cpu_affinity(load_text: Load, text: str, affinity: CpuAffinity) -> None:
    assert load_text(f"worker_cpu_affinity {text}; events {{}}").core.worker_cpu_affinity == affinity


def test_masks_and_workers_of_different_number_are_warned_of(load_text: Load) -> None:
    (warning,) = load_text("worker_processes 3; worker_cpu_affinity 1 10; events {}").warnings
    assert "using last mask for remaining worker processes" in warning[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("worker_cpu_affinity 012;", 'invalid character "2" in "worker_cpu_affinity"'),
        ("worker_cpu_affinity auto 1 1;", 'invalid number of arguments in "worker_cpu_affinity" directive'),
        ("worker_cpu_affinity " + "1" * 1025 + ";", '"worker_cpu_affinity" supports up to 1024 CPUs only'),
    ],
)
def test_masks_that_are_none_are_refused(load_text: Load, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(text)
    assert caught.value.message == message
