"""The files, blocks and `-g` text of a configuration, read statement by statement (ngx_conf_parse)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mailworker.config.addresses import Resolve
from mailworker.config.drafts import Context, Scope
from mailworker.config.glob import glob, has_magic
from mailworker.config.lexer import Ending, Lexer, Statement
from mailworker.errors import ConfigError, UnreadableError
from mailworker.model import Level
from mailworker.regular_file import read_regular
from mailworker.variables.regex import BadRegex, CompileRegex, Regex

DEEPEST_INCLUDE: Final = 64  # files open at once; nginx stops when it runs out of descriptors

LONGEST_MESSAGE: Final = 1024  # bytes without the position, as in nginx

Handle = Callable[["Parser", Statement], None]
Warn = Callable[[Level, str], None]


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file with a secret. `kind` is its name in messages; `path` is absolute."""

    kind: str
    path: str


class Parser:
    """Reads a configuration and calls `handle` for each directive. Setters get all that they need from this object.

    `words` are those of the present directive, and `scope` is its block. `main` is the outermost block, and `blocks`
    are those in it that may be given once. `files` are the configuration files that were read, for -T, and `secrets`
    the files of `declare_secret`.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a configuration may ask of the world
        self,
        path: Path,
        prefix: Path,
        handle: Handle,
        resolve: Resolve,
        on_warning: Warn,
        compile_regex: CompileRegex,
    ) -> None:
        self.main = self.scope = Scope(Context.MAIN)
        self.blocks: dict[Context, Scope] = {}
        self.words: list[str] = []
        self.files: dict[Path, bytes] = {}
        self.secrets: dict[SecretFile, None] = {}
        self.warnings: list[tuple[Level, str]] = []
        self.resolve = resolve
        self._compile_regex = compile_regex
        self._path = path
        self._prefix = prefix
        self._handle = handle
        self._on_warning = on_warning
        self._lexers: list[Lexer] = []
        self._place: str | None = None

    @property
    def where(self) -> str | None:
        """The present position, as in messages, None outside of any text."""
        return self._place or (self._lexers[-1].where if self._lexers else None)

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        """Use this position in messages within the context: that of a block that is checked after its end."""
        self._place = place
        try:
            yield
        finally:
            self._place = None

    def error(self, message: str, hint: str = "") -> ConfigError:
        """An error at the present position, for the caller to raise."""
        return ConfigError(_clipped(message), self.where, hint)

    def system_error(self, call: str, name: str, error: OSError) -> ConfigError:
        """An error of a system call on a file, in nginx's words."""
        return self.error(f'{call} "{name}" failed ({error.errno}: {os.strerror(error.errno or 0)})')

    def warn(self, message: str, where: str | None = None) -> None:
        """Report a warning with its position, by default the present one."""
        where = where or self.where
        self._warn(_clipped(message) if where is None else f"{_clipped(message)} in {where}")

    def warn_without_position(self, message: str) -> None:
        """Report a warning without a position."""
        self._warn(_clipped(message))

    def _warn(self, text: str) -> None:
        self.warnings.append((Level.WARN, text))
        self._on_warning(Level.WARN, text)

    def warn_once(self, message: str, where: str | None) -> None:
        """Report a warning only once, though several servers have inherited its cause."""
        if (Level.WARN, f"{_clipped(message)} in {where}") not in self.warnings:
            self.warn(message, where)

    def beside_configuration(self, name: str) -> str:
        """The absolute name of a file; a relative name is in the folder of the main configuration file."""
        return _absolute(self._path.parent, name)

    def below_prefix(self, name: str) -> str:
        """The absolute name of a file; a relative name is below the prefix."""
        return _absolute(self._prefix, name)

    def declare_secret(self, kind: str, name: str) -> None:
        """Have `-t` warn if other users may read the file; each directive with a secret file calls this."""
        self.secrets[SecretFile(kind, name)] = None

    def read_file(self, name: str) -> bytes:
        """The content of a file, which may be a named pipe, as nginx allows for passwords."""
        try:
            with Path(name).open("rb") as file:
                return file.read()
        except IsADirectoryError as error:
            raise self.system_error("read()", name, error) from error
        except OSError as error:
            raise self.system_error("open()", name, error) from error

    def regex(self, pattern: str, *, caseless: bool) -> Regex:
        """Compile a regular expression. Raises ConfigError."""
        try:
            return self._compile_regex(os.fsencode(pattern), caseless)
        except BadRegex as reason:
            raise self.error(str(reason)) from reason

    def parse_text(self, text: str) -> None:
        """Parse the directives of `-g`."""
        self._parse(Lexer(os.fsencode(text), None))

    def parse_file(self, name: str) -> None:
        """Parse a whole file in the present block."""
        if len(self._lexers) >= DEEPEST_INCLUDE:
            raise self.error(f'open() "{name}" failed (24: {os.strerror(24)})')
        data = self._read_configuration(name)
        self.files.setdefault(Path(name), data)
        self._parse(Lexer(data, name))

    def _parse(self, lexer: Lexer) -> None:
        self._lexers.append(lexer)
        while (statement := lexer.next()).ending is not Ending.FILE_DONE:
            if statement.ending is Ending.BLOCK_DONE:
                raise self.error('unexpected "}"')
            if statement.ending is Ending.BLOCK_START and lexer.name is None:
                raise self.error("block directives are not supported in -g option")
            self._handle(self, statement)
        self._lexers.pop()

    def parse_block(self, scope: Scope) -> None:
        """Parse up to the "}" of the block that the present directive has opened."""
        outer, self.scope = self.scope, scope
        while (statement := self._lexers[-1].next()).ending is not Ending.BLOCK_DONE:
            if statement.ending is Ending.FILE_DONE:
                raise self.error('unexpected end of file, expecting "}"')
            self._handle(self, statement)
        self.scope = outer

    def parse_entries(self, take: Callable[[Parser], None]) -> None:
        """Parse up to the "}" of a block without directives; `take` is called for each entry."""

        def handle(parser: Parser, statement: Statement) -> None:
            if statement.ending is Ending.BLOCK_START:
                raise parser.error('unexpected "{"')
            parser.words = statement.words
            take(parser)

        outer, self._handle = self._handle, handle
        self.parse_block(self.scope)
        self._handle = outer

    def include(self) -> None:
        """`include MASK`: parse all matching files in byte order. A mask without matches is not an error."""
        name = self.beside_configuration(self.words[1])
        for match in glob(name) if has_magic(name) else [name]:
            self.parse_file(match)

    def _read_configuration(self, name: str) -> bytes:
        """A file's content. As in nginx, a file without a size, such as a pipe or a device, is empty."""
        try:
            return read_regular(name) or b""
        except IsADirectoryError as error:
            raise UnreadableError(f'pread() "{name}" failed (21: {os.strerror(21)})') from error
        except OSError as error:
            raise self.system_error("open()", name, error) from error


def c_string(word: str) -> str:
    """The part of a word before its first NUL, as system calls read it."""
    return word.partition("\0")[0]


def _clipped(message: str) -> str:
    return os.fsdecode(os.fsencode(message)[:LONGEST_MESSAGE])


def _absolute(folder: Path, name: str) -> str:
    name = c_string(name)
    return name if name.startswith("/") else f"{str(folder).rstrip('/')}/{name}"
