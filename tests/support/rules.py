"""Rules that other tools lack: tests mirror the package, few modules know all settings, words have their place, and
files of C that are named are there.

`python -m tests.support.rules` names every violation and exits with 1 if there is any.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePath

PACKAGE = "mailworker"
FOLDERS = (PACKAGE, "tests", "bench", "fuzz")

# A module without a test of its name -> why it needs none.
UNTESTED: dict[str, str] = {
    "mailworker/config/settings.py": "names the parts of a configuration, each of which is made and tested elsewhere",
    "mailworker/demo/__main__.py": "calls the runner, and every test of the runner starts it",
    "mailworker/log/access.py": "an interface",
    "mailworker/mail/authentication/source.py": "an interface",
    "mailworker/variables/facts.py": "an interface",
    "mailworker/variables/regex.py": "an interface; native/test_regex.py",
}

# So many modules may import `config.settings`. All others get the settings that they need.
READERS_OF_SETTINGS = 24

# An identifier with `upstream` -> the directive, variable or log line with this word of nginx's. In code, the server
# behind the proxy is a backend.
WORDS_OF_NGINX: dict[str, str] = {
    "test_upstream_stands_only_where_nginx_has_it": "the rule itself",
    "auth_upstream": "the directive, which is called as nginx's are",
}


def without_test(paths: Collection[str], untested: Mapping[str, str]) -> Iterator[str]:
    """Name modules of the package among `paths` that no test is named after, and needless exceptions."""
    for path in sorted(paths):
        test = test_of(path)
        if test is None:
            continue
        if path in untested and test in paths:
            yield f"{path}: has a test, {test}, and stands among the exceptions"
        elif path not in untested and test not in paths:
            yield f"{path}: has no test, {test}"
    for path in sorted(untested.keys() - set(paths)):
        yield f"{path}: is not there, and stands among the exceptions"


def test_of(path: str) -> str | None:
    """The path of a module's test; None for files outside the package and for an `__init__.py`."""
    module = PurePath(path)
    if module.parts[0] != PACKAGE or module.name == "__init__.py":
        return None
    return str(PurePath("tests", *module.parts[1:-1], f"test_{module.name}"))


def readers_of_settings(sources: Mapping[str, str], most: int) -> Iterator[str]:
    """Name the modules of the package that import the settings as a whole, if there are more than `most`."""
    readers = [path for path, source in sorted(sources.items()) if _is_module(path) and _reads_settings(source)]
    if len(readers) > most:
        yield f"{len(readers)} modules import mailworker.config.settings, at most {most} may: {', '.join(readers)}"


def _is_module(path: str) -> bool:
    return PurePath(path).parts[0] == PACKAGE


def _reads_settings(source: str) -> bool:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        if f"{PACKAGE}.config.settings" in names:
            return True
    return False


def misplaced_words(path: str, source: str, allowed: Collection[str]) -> Iterator[str]:
    """Name each identifier of `source`, and each part of its path, that contains `upstream` and may not."""
    places = {(1, part) for part in PurePath(path).parts} | set(_identifiers(source))
    for line, identifier in sorted(places):
        if "upstream" in identifier.lower() and identifier not in allowed:
            yield f"{path}:{line}: {identifier} says upstream, which is a backend in code"


def _identifiers(source: str) -> Iterator[tuple[int, str]]:
    """The identifiers with their lines, among them keyword arguments, attributes and names of imports."""
    for node in ast.walk(ast.parse(source)):
        for name, value in ast.iter_fields(node):
            if name in {"id", "attr", "arg", "name", "asname", "module", "rest", "names"}:
                line = getattr(node, "lineno", 1)
                values = value if isinstance(value, list) else [value]
                yield from ((line, each) for each in values if isinstance(each, str))


def missing_files(path: str, text: str, there: Collection[str]) -> Iterator[str]:
    """Name each file of C, as native/core/loop.c, that `text` names and that is not `there`."""
    for line, each in enumerate(text.splitlines(), 1):
        for name in re.findall(r"\bnative/\w+/\w+\.[ch]\b", each):
            if f"{PACKAGE}/{name}" not in there:
                yield f"{path}:{line}: there is no {name}"


def main() -> int:
    sources = {str(path): path.read_text(encoding="utf-8") for folder in FOLDERS for path in Path(folder).rglob("*.py")}
    found = [*without_test(sources.keys(), UNTESTED), *readers_of_settings(sources, READERS_OF_SETTINGS)]
    for path, source in sorted(sources.items()):
        found += misplaced_words(path, source, WORDS_OF_NGINX)
    there = {str(path) for path in Path(PACKAGE, "native").rglob("*.[ch]")}
    pages = [
        path for folder in ("docs", PACKAGE) for path in Path(folder).rglob("*.*") if path.suffix in {".md", ".py"}
    ]
    for page in sorted(pages):
        found += missing_files(str(page), page.read_text(encoding="utf-8"), there)
    for text in found:
        print(text)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
