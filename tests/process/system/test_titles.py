from __future__ import annotations

import os
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
        (r"title_master(['-p', '/caf\udce9'])", r"mailworker: master process -p /caf\xe9"),
        ("title_child('worker process')", "mailworker: worker process"),
        ("title_leaving_child('worker process')", "mailworker: worker process is shutting down"),
    ],
)
def test_ps_shows_nginx_s_titles_with_our_name(call: str, title: str) -> None:
    shown = subprocess.run([sys.executable, "-c", PROGRAM.format(call)], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == title


def test_a_command_line_that_is_no_utf8_is_replaced_too() -> None:
    """As of a folder named in ISO 8859-1."""
    program = PROGRAM.format("title_child('worker process')")
    shown = subprocess.run([sys.executable, "-c", program, os.fsdecode(b"/caf\xe9")], capture_output=True, check=True)
    assert shown.stdout.strip() == b"mailworker: worker process"
