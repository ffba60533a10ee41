"""Configurations at random: a real nginx and mailworker say the same of them, word by word."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.oracle.configurations import Case
from tests.oracle.random_configurations import configurations
from tests.oracle.verdicts import MODULE, NGINX, mailworker_verdict, nginx_verdict, without_hint, write

# What nginx refuses, and we do as its http module.
_NAMED = re.compile('address and port pair|arguments in "server_name"|"server_name" directive is duplicate')

# The long form: so many configurations, others at each run.
EXAMPLES = os.environ.get("MAILWORKER_CONFIGURATIONS")

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.usefixtures("same_examples"),
    pytest.mark.skipif(NGINX is None or MODULE is None, reason="no nginx with a dynamic mail module here"),
    pytest.mark.timeout(0 if EXAMPLES else 120),
]


@settings(
    max_examples=int(EXAMPLES or 250),
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(configurations())
def test_mailworker_and_nginx_agree(case: Case) -> None:
    with tempfile.TemporaryDirectory(prefix="oracle-") as name:
        folder = Path(name)
        write(case, folder)
        ours, theirs = without_hint(mailworker_verdict(case, folder)), nginx_verdict(case, folder)
        assert ours == theirs or any(_NAMED.search(line) for line in theirs)
