"""Directives of the main context (ngx_core_module, ngx_errlog_module and the modules that a mail proxy can ignore)."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mailworker.config import logs, slots, values
from mailworker.config.affinity import CpuAffinity, read_cpu_affinity
from mailworker.config.command import ONE, ONE_OR_MORE, ONE_OR_TWO, TWO_OR_THREE, Command, Setter
from mailworker.config.drafts import UNSET, Context
from mailworker.config.logs import FileLog, LogTarget, StderrLog
from mailworker.config.merge import merged
from mailworker.config.tree import Parser, c_string
from mailworker.errors import ConfigError
from mailworker.model import Level


@dataclass(frozen=True, slots=True)
class User:
    """`user`, looked up: what a worker becomes when the master is root."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class CoreSettings:
    """Directives of the main context. `worker_processes` None is `auto`; `user` None keeps the identity."""

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
    timer_resolution: float | None


DEFAULT_USER: Final = "nobody"
DEFAULT_GROUPS: Final = ("nobody", "nogroup")
ERROR_LOG: Final = Path("logs/error.log")  # below the prefix
WORKERS: Final = values.Bounds(0, 1024)  # NGX_MAX_PROCESSES: nginx takes more in its configuration and starts no more


@dataclass(slots=True)
class CoreDraft:
    """`worker_processes` None is `auto`; `user` None is nobody's identity but the caller's."""

    daemon: bool = UNSET
    master_process: bool = UNSET
    worker_processes: int | None = UNSET
    user: User | None = UNSET
    pid: str = UNSET
    lock_file: str = UNSET
    working_directory: str | None = UNSET
    error_log: tuple[LogTarget, ...] = UNSET
    env: tuple[str, ...] = UNSET
    worker_priority: int = UNSET
    worker_cpu_affinity: CpuAffinity | None = UNSET
    worker_rlimit_nofile: int | None = UNSET
    worker_rlimit_core: int | None = UNSET
    worker_sandbox: bool = UNSET
    worker_shutdown_timeout: float | None = UNSET
    timer_resolution: float | None = UNSET
    debug_points: str | None = UNSET
    pcre_jit: bool = UNSET
    ssl_engine: str | None = UNSET
    ssl_object_cache_inheritable: bool = UNSET


DEFAULTS: Final = CoreDraft(
    daemon=True,
    master_process=True,
    worker_processes=1,
    user=None,
    pid="logs/mailworker.pid",
    lock_file="logs/mailworker.lock",
    working_directory=None,
    error_log=(),
    env=(),
    worker_priority=0,
    worker_cpu_affinity=None,
    worker_rlimit_nofile=None,
    worker_rlimit_core=None,
    worker_sandbox=False,
    worker_shutdown_timeout=None,
    timer_resolution=None,
    debug_points=None,
    pcre_jit=False,
    ssl_engine=None,
    ssl_object_cache_inheritable=True,
)


def freeze(parser: Parser, error_log: Path | None) -> CoreSettings:
    """The main context's settings; `error_log` is the log of -e, None for stderr. Raises ConfigError."""
    draft = merged(DEFAULTS, parser.main)
    affinity = draft.worker_cpu_affinity
    workers = draft.worker_processes
    if affinity and not affinity.auto and workers is not None and len(affinity.masks) not in (1, workers):
        parser.warn(
            'the number of "worker_processes" is not equal to the number of "worker_cpu_affinity" masks, '
            "using last mask for remaining worker processes"
        )
    return CoreSettings(
        daemon=draft.daemon,
        master_process=draft.master_process,
        worker_processes=workers,
        user=_default_user() if draft.user is None and os.geteuid() == 0 else draft.user,
        pid=Path(parser.below_prefix(draft.pid or DEFAULTS.pid)),
        lock_file=Path(parser.below_prefix(draft.lock_file or DEFAULTS.lock_file)),
        working_directory=Path(c_string(draft.working_directory)) if draft.working_directory else None,
        error_log=_with_file_log(parser, draft.error_log, error_log),
        env=tuple(map(c_string, draft.env)),
        worker_priority=draft.worker_priority,
        worker_cpu_affinity=affinity,
        worker_rlimit_nofile=draft.worker_rlimit_nofile,
        worker_rlimit_core=draft.worker_rlimit_core,
        worker_sandbox=draft.worker_sandbox,
        worker_shutdown_timeout=draft.worker_shutdown_timeout,
        timer_resolution=draft.timer_resolution,
    )


def _with_file_log(parser: Parser, targets: tuple[LogTarget, ...], error_log: Path | None) -> tuple[LogTarget, ...]:
    """As nginx, add the default log where the configuration names neither a file nor stderr."""
    if any(isinstance(target, FileLog | StderrLog) for target in targets):
        return targets
    if error_log is None:
        return (*targets, StderrLog(Level.ERROR))
    return (*targets, FileLog(Path(parser.below_prefix(str(error_log))), Level.ERROR))


def _default_user() -> User:
    try:
        uid = pwd.getpwnam(DEFAULT_USER).pw_uid
    except KeyError as error:
        raise ConfigError(f'getpwnam("{DEFAULT_USER}") failed') from error
    for group in DEFAULT_GROUPS:
        try:
            return User(DEFAULT_USER, uid, grp.getgrnam(group).gr_gid)
        except KeyError:
            continue
    raise ConfigError(f'getgrnam("{DEFAULT_GROUPS[-1]}") failed')


def _set_user(parser: Parser) -> None:
    draft = parser.scope.draft(CoreDraft)
    slots.claim(parser, CoreDraft)
    if os.geteuid() != 0:
        parser.warn(
            'the "user" directive makes sense only if the master process runs with super-user privileges, ignored'
        )
        return
    user, group = c_string(parser.words[1]), c_string(parser.words[-1])
    try:
        uid = pwd.getpwnam(user).pw_uid
    except KeyError as error:
        raise parser.error(f'getpwnam("{user}") failed') from error
    try:
        gid = grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise parser.error(f'getgrnam("{group}") failed') from error
    draft.user = User(user, uid, gid)


def _set_worker_processes(parser: Parser) -> None:
    slots.claim(parser, CoreDraft)
    word = parser.words[1]
    count = values.number(word)
    if count is None and word != "auto":
        raise parser.error('"worker_processes" directive invalid value')
    parser.scope.draft(CoreDraft).worker_processes = None if count is None else slots.within(parser, count, WORKERS)


def _set_worker_priority(parser: Parser) -> None:
    """A number that may have a sign; after 0 nginx sees no repetition."""
    draft = parser.scope.draft(CoreDraft)
    if draft.worker_priority not in (UNSET, 0):
        raise parser.error('"worker_priority" directive is duplicate')
    word = parser.words[1]
    priority = values.number(word[1:] if word[:1] in ("-", "+") else word)
    if priority is None or not values.C_INT.allow(priority):
        raise parser.error('"worker_priority" directive invalid number')
    draft.worker_priority = -priority if word.startswith("-") else priority


def _set_worker_cpu_affinity(parser: Parser) -> None:
    slots.claim(parser, CoreDraft)
    parser.scope.draft(CoreDraft).worker_cpu_affinity = read_cpu_affinity(parser)


def _ignored(because: str) -> Setter:
    return lambda parser: parser.warn(f'the "{parser.words[0]}" directive is ignored, {because}')


COMMANDS: Final = (
    Command("include", Context.ANY, ONE, Parser.include),
    Command("daemon", Context.MAIN, ONE, slots.flag(CoreDraft)),
    Command("master_process", Context.MAIN, ONE, slots.flag(CoreDraft)),
    Command("timer_resolution", Context.MAIN, ONE, slots.milliseconds(CoreDraft)),
    Command("pid", Context.MAIN, ONE, slots.string(CoreDraft)),
    Command("lock_file", Context.MAIN, ONE, slots.string(CoreDraft)),
    Command("worker_processes", Context.MAIN, ONE, _set_worker_processes),
    Command("debug_points", Context.MAIN, ONE, slots.choice(CoreDraft, {"stop": "stop", "abort": "abort"})),
    Command("user", Context.MAIN, ONE_OR_TWO, _set_user),
    Command("worker_priority", Context.MAIN, ONE, _set_worker_priority),
    Command("worker_cpu_affinity", Context.MAIN, ONE_OR_MORE, _set_worker_cpu_affinity),
    Command("worker_rlimit_nofile", Context.MAIN, ONE, slots.number(CoreDraft, values.ANY)),
    Command("worker_rlimit_core", Context.MAIN, ONE, slots.offset(CoreDraft, values.ANY)),
    Command("worker_sandbox", Context.MAIN, ONE, slots.flag(CoreDraft)),
    Command("worker_shutdown_timeout", Context.MAIN, ONE, slots.milliseconds(CoreDraft)),
    Command("working_directory", Context.MAIN, ONE, slots.string(CoreDraft)),
    Command("env", Context.MAIN, ONE, slots.words(CoreDraft)),
    Command("error_log", Context.MAIN, ONE_OR_MORE, logs.error_log(CoreDraft)),
    Command("load_module", Context.MAIN, ONE, _ignored("all modules are built in")),
    Command("thread_pool", Context.MAIN, TWO_OR_THREE, _ignored("a mail proxy reads no files")),
    Command("pcre_jit", Context.MAIN, ONE, slots.flag(CoreDraft)),
    Command("ssl_engine", Context.MAIN, ONE, slots.string(CoreDraft)),
    Command("ssl_object_cache_inheritable", Context.MAIN, ONE, slots.flag(CoreDraft)),
)
