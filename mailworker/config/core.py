"""Directives of the main context (ngx_core_module, ngx_errlog_module and modules without meaning for a mail proxy)."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

from mailworker import paths
from mailworker.config import values
from mailworker.config.affinity import CPU_AFFINITY, CpuAffinity
from mailworker.config.command import ONE, ONE_OR_MORE, ONE_OR_TWO, TWO_OR_THREE, Command, Setter
from mailworker.config.drafts import UNSET, Context
from mailworker.config.logs import ERROR_LOGS, FileLog, LogTarget, StderrLog
from mailworker.config.rows import Value, commands, frozen, merged, row
from mailworker.config.slots import (
    FLAG,
    MILLISECONDS,
    STRING,
    WORDS,
    choice,
    group_id,
    number,
    offset,
    once,
    user_id,
    within,
)
from mailworker.config.tree import Parser, c_string
from mailworker.errors import ConfigError
from mailworker.model import Level


@dataclass(frozen=True, slots=True)
class User:
    """`user`: the user and group of workers if the master is root."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class CoreSettings:
    """The directives of the main context. `worker_processes` None is `auto`; `user` None is the caller's user."""

    daemon: bool
    master_process: bool
    worker_processes: int | None
    user: User | None
    pid: Path
    lock_file: Path
    working_directory: Path | None
    error_log: tuple[LogTarget, ...]
    env: tuple[str, ...]
    worker_priority: int
    worker_cpu_affinity: CpuAffinity | None
    worker_rlimit_nofile: int | None
    worker_rlimit_core: int | None
    worker_sandbox: bool
    worker_shutdown_timeout: float | None
    shutdown_delay: float
    timer_resolution: float | None


ERROR_LOG: Final = Path(paths.ERROR_LOG)
WORKERS: Final = values.Bounds(0, 1024)  # NGX_MAX_PROCESSES: nginx accepts more, but does not start them


def _read_user(parser: Parser) -> User | None:
    """The user; UNSET, as without the directive, if the master is not root."""
    if os.geteuid() != 0:
        parser.warn(
            'the "user" directive makes sense only if the master process runs with super-user privileges, ignored'
        )
        return cast("User | None", UNSET)
    user, group = c_string(parser.words[1]), c_string(parser.words[-1])
    return User(user, user_id(parser, user), group_id(parser, group))


def _read_workers(parser: Parser) -> int | None:
    word = parser.words[1]
    count = values.number(word)
    if count is None and word != "auto":
        raise parser.error('"worker_processes" directive invalid value')
    return None if count is None else within(parser, count, WORKERS)


def _take_priority(parser: Parser, earlier: int) -> int:
    """A number that may have a sign. As in nginx, the directive may be repeated after the value 0."""
    if earlier not in (UNSET, 0):
        raise parser.error('"worker_priority" directive is duplicate')
    word = parser.words[1]
    priority = values.number(word[1:] if word[:1] in ("-", "+") else word)
    if priority is None or not values.C_INT.allow(priority):
        raise parser.error('"worker_priority" directive invalid number')
    return -priority if word.startswith("-") else priority


def _file(default: str) -> str:
    """A row for a file below the prefix; an empty word means the default."""
    value = replace(STRING, freeze=lambda parser, name: Path(parser.below_prefix(name or default)))
    return row(Context.MAIN, ONE, value, default)


_FOLDER: Final = replace(STRING, freeze=lambda _, name: Path(c_string(name)) if name else None)
_VARIABLES: Final = replace(WORDS, freeze=lambda _, words: tuple(map(c_string, words)))
_DEBUG_POINTS: Final = choice({"stop": "stop", "abort": "abort"})


@dataclass(slots=True)
class CoreDraft:
    """`worker_processes` None is `auto`; `user` None is the caller's user.

    Directives without a settings field have no effect in a mail proxy.
    """

    daemon: bool = row(Context.MAIN, ONE, FLAG, True)
    master_process: bool = row(Context.MAIN, ONE, FLAG, True)
    worker_processes: int | None = row(Context.MAIN, ONE, Value(once(_read_workers)), 1)
    user: User | None = row(
        Context.MAIN, ONE_OR_TWO, Value(once(_read_user)), None, spelled=f"{paths.USER} {paths.GROUPS[0]}"
    )
    pid: str = _file(paths.PID)
    lock_file: str = _file(paths.LOCK)
    working_directory: str | None = row(Context.MAIN, ONE, _FOLDER, None)
    error_log: tuple[LogTarget, ...] = row(Context.MAIN, ONE_OR_MORE, ERROR_LOGS, (), spelled=f"{ERROR_LOG} error")
    env: tuple[str, ...] = row(Context.MAIN, ONE, _VARIABLES, ())
    worker_priority: int = row(Context.MAIN, ONE, Value(_take_priority), 0)
    worker_cpu_affinity: CpuAffinity | None = row(Context.MAIN, ONE_OR_MORE, CPU_AFFINITY, None)
    worker_rlimit_nofile: int | None = row(Context.MAIN, ONE, number(values.ANY), None)
    worker_rlimit_core: int | None = row(Context.MAIN, ONE, offset(values.ANY), None)
    worker_sandbox: bool = row(Context.MAIN, ONE, FLAG, False)
    worker_shutdown_timeout: float | None = row(Context.MAIN, ONE, MILLISECONDS, None)
    shutdown_delay: float = row(Context.MAIN, ONE, MILLISECONDS, 0.0)
    timer_resolution: float | None = row(Context.MAIN, ONE, MILLISECONDS, None)
    debug_points: str | None = row(Context.MAIN, ONE, _DEBUG_POINTS, None, into=None)
    pcre_jit: bool = row(Context.MAIN, ONE, FLAG, False, into=None)
    ssl_engine: str | None = row(Context.MAIN, ONE, STRING, None, into=None)
    ssl_object_cache_inheritable: bool = row(Context.MAIN, ONE, FLAG, True, into=None)


def _ignored(because: str) -> Setter:
    return lambda parser: parser.warn(f'{because}, the "{parser.words[0]}" directive is ignored')


COMMANDS: Final = (
    Command("include", Context.ANY, ONE, Parser.include),
    *commands(CoreDraft),
    Command("load_module", Context.MAIN, ONE, _ignored("all modules are built in")),
    Command("thread_pool", Context.MAIN, TWO_OR_THREE, _ignored("a mail proxy reads no files")),
)


def freeze(parser: Parser, error_log: Path | None) -> CoreSettings:
    """The main context's settings; `error_log` is the log of -e, None for stderr. Raises ConfigError."""
    draft = merged(CoreDraft, parser.main)
    affinity = draft.worker_cpu_affinity
    workers = draft.worker_processes
    if affinity and not affinity.auto and workers is not None and len(affinity.masks) not in (1, workers):
        parser.warn(
            'the number of "worker_processes" is not equal to the number of "worker_cpu_affinity" masks, '
            "using last mask for remaining worker processes"
        )
    return frozen(
        CoreSettings,
        draft,
        parser,
        user=_default_user() if draft.user is None and os.geteuid() == 0 else draft.user,
        error_log=_with_file_log(parser, draft.error_log, error_log),
    )


def _with_file_log(parser: Parser, targets: tuple[LogTarget, ...], error_log: Path | None) -> tuple[LogTarget, ...]:
    """Add the default log if the configuration names neither a file nor stderr, as nginx does."""
    if any(isinstance(target, FileLog | StderrLog) for target in targets):
        return targets
    if error_log is None:
        return (*targets, StderrLog(Level.ERROR))
    return (*targets, FileLog(Path(parser.below_prefix(str(error_log))), Level.ERROR))


def _default_user() -> User:
    try:
        uid = pwd.getpwnam(paths.USER).pw_uid
    except KeyError as error:
        raise ConfigError(f'getpwnam("{paths.USER}") failed') from error
    for group in paths.GROUPS:
        try:
            return User(paths.USER, uid, grp.getgrnam(group).gr_gid)
        except KeyError:
            continue
    raise ConfigError(f'getgrnam("{paths.GROUPS[-1]}") failed')
