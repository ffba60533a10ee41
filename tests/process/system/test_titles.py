from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import psutil
from mailworker.process.system import titles
titles.find_title()
titles.{}
print(" ".join(psutil.Process().cmdline()))
"""


@pytest.mark.parametrize(
    ("call", "title"),
    [
        ("title_master(['mailworker', '-c', 'a.conf'])", "mailworker: master process mailworker -c a.conf"),
        ("title_child('worker process')", "mailworker: worker process"),
        ("title_leaving_child('worker process')", "mailworker: worker process is shutting down"),
        ("title_reader()", "mailworker: configuration reader"),
    ],
)
def test_ps_shows_nginx_s_titles_with_our_name(call: str, title: str) -> None:
    shown = subprocess.run([sys.executable, "-c", PROGRAM.format(call)], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == title
