from __future__ import annotations

import pytest

from tests.support.rules import misplaced_words, missing_files, readers_of_settings, without_test

MODULE = "mailworker/a/b.py"
TEST = "tests/a/test_b.py"


@pytest.mark.parametrize(
    ("paths", "untested", "found"),
    [
        ({MODULE, TEST}, {}, []),
        ({MODULE}, {MODULE: "a reason"}, []),
        ({"mailworker/__init__.py", "mailworker/a/__init__.py", "bench/c.py", "tests/support/d.py"}, {}, []),
        ({"mailworker/cli.py", "tests/test_cli.py"}, {}, []),
        ({MODULE}, {}, [f"{MODULE}: has no test, {TEST}"]),
        ({MODULE, "tests/test_b.py"}, {}, [f"{MODULE}: has no test, {TEST}"]),
        ({MODULE, TEST}, {MODULE: "a reason"}, [f"{MODULE}: has a test, {TEST}, and stands among the exceptions"]),
        (set(), {MODULE: "a reason"}, [f"{MODULE}: is not there, and stands among the exceptions"]),
    ],
)
def test_every_module_has_a_test_of_its_name(paths: set[str], untested: dict[str, str], found: list[str]) -> None:
    assert list(without_test(paths, untested)) == found


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ("from mailworker.config.settings import Settings", True),
        ("from mailworker.config import settings", True),
        ("import mailworker.config.settings as s", True),
        ("def f():\n    from mailworker.config.settings import Settings", True),
        ("from mailworker.config.ssl import SslSettings", False),
        ("import mailworker.config", False),
        ("# from mailworker.config.settings import Settings", False),
    ],
)
def test_the_modules_that_read_all_settings_are_counted(source: str, reads: bool) -> None:
    found = ["1 modules import mailworker.config.settings, at most 0 may: mailworker/a/b.py"]
    assert list(readers_of_settings({MODULE: source}, 0)) == (found if reads else [])


def test_as_many_modules_as_may_read_all_settings_are_no_fault_and_tests_do_not_count() -> None:
    source = "from mailworker.config.settings import Settings"
    assert list(readers_of_settings({MODULE: source, TEST: source}, 1)) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("backend = 'upstream timed out'  # of an upstream", []),
        ("def proxy_upstream(): pass", []),
        ("upstream = 1", ["upstream"]),
        ("def f(upstreams): pass", ["upstreams"]),
        ("def f():\n  global UPSTREAM", ["UPSTREAM"]),
        ("class Upstream: pass", ["Upstream"]),
        ("a.upstream_tls", ["upstream_tls"]),
        ("f(upstream=1)", ["upstream"]),
        ("from a.upstream import b", ["a.upstream"]),
        ("from a import b as upstream", ["upstream"]),
        ("f'{upstream}'", ["upstream"]),
        ("match a:\n  case {**upstream}: pass", ["upstream"]),
    ],
)
def test_upstream_stands_only_where_nginx_has_it(source: str, found: list[str]) -> None:
    lines = list(misplaced_words("a/b.py", source, {"proxy_upstream"}))
    assert [line.split(": ")[1].split(" ")[0] for line in lines] == found


def test_files_and_folders_have_the_same_words() -> None:
    text = "a/upstream/b.py:1: upstream says upstream, which is a backend in code"
    assert list(misplaced_words("a/upstream/b.py", "", set())) == [text]


def test_files_of_c_that_are_named_are_there() -> None:
    text = "native/core/a.c, native/core/b.h\nand native/wire/c.c"
    assert list(missing_files("a.md", text, {"mailworker/native/core/a.c", "mailworker/native/wire/c.c"})) == [
        "a.md:1: there is no native/core/b.h"
    ]
