"""What holds for all tests."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Generator, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling, Scheduling
from xdist.workermanage import WorkerController

from tests.support.certificates import Certificate, CertificateAuthority, ecdsa_key
from tests.support.ports import Ports

# On a developer's machine a test whose server is absent is skipped; where CI=true nothing may be.
NO_SKIPS = os.environ.get("CI") == "true"

# On a loaded machine any example may take long.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# Tests that share servers which are slow to start, by the beginning of their ids: each group is for one test process.
# xdist's own groups have no effect since pytest 9.
GROUPS = (
    "tests/demo/test_runner.py",
    "tests/docs/test_site.py",
    "tests/oracle/test_client_certificates.py",
    "tests/oracle/test_dialogues.py",
    "tests/oracle/test_scanners.py",
    "tests/real/",
    "tests/security/test_",
)


class GroupScheduling(LoadScopeScheduling):
    """Hands out GROUPS, and all other tests one by one."""

    def _split_scope(self, nodeid: str) -> str:
        return next((group for group in GROUPS if nodeid.startswith(group)), nodeid)

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """Forget the test, which the base class keeps, and counts again with all others at each end of a test."""
        test = self.registered_collections[node][item_index]
        unit = self._split_scope(test)
        units = self.assigned_work[node]
        del units[unit][test]
        if not units[unit]:
            del units[unit]
        self._reschedule(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    return GroupScheduling(config, log) if config.getoption("dist") == "load" else None


OWN_FOLDER = pytest.StashKey[str]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let a process of xdist go when it has told all: freeing what thousands of tests have left takes ten seconds.

    Give the tests a folder of their own: whenever a pytest begins, it shuts others out of the one that all those of a
    user share, and our workers are others.
    """
    if hasattr(config, "workerinput"):
        atexit.register(os._exit, 0)
    elif config.option.basetemp is None:
        config.option.basetemp = config.stash[OWN_FOLDER] = tempfile.mkdtemp(prefix="mailworker-tests-")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Leave the folder to whoever looks for the reason where tests have failed."""
    own = session.config.stash.get(OWN_FOLDER, None)
    if own is not None and exitstatus != pytest.ExitCode.TESTS_FAILED:
        session.config.add_cleanup(partial(shutil.rmtree, own, ignore_errors=True))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Free what a failed test has left open: where that is done later, the test that runs then fails for it."""
    before = item.session.testsfailed
    result = yield
    if item.session.testsfailed > before:
        for name in ("last_exc", "last_value", "last_traceback"):  # pytest keeps the failure there
            with suppress(AttributeError):
                delattr(sys, name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped although CI=true: {_reason(report)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if NO_SKIPS and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped although CI=true: {_reason(report)}"
    return report


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)


@pytest.fixture
def ports() -> Iterator[Ports]:
    """Ports that are this test's alone, also while nobody listens on them."""
    ports = Ports()
    yield ports
    ports.close()


@pytest.fixture
def maker(tmp_path: Path) -> CertificateAuthority:
    """An authority whose folder is not the test's own."""
    (tmp_path / "maker").mkdir()
    return CertificateAuthority(tmp_path / "maker")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """One for mail.example.com, by ECDSA."""
    authority = CertificateAuthority(tmp_path_factory.mktemp("authority"))
    return authority.issue_server("server", ecdsa_key(), ("mail.example.com",))
