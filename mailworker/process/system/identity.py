"""A worker's user, limits, priority, processors, folder and environment."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Mapping

from mailworker.config.affinity import CpuAffinity
from mailworker.config.core import CoreSettings, User
from mailworker.errors import StartError
from mailworker.log.line import describe
from mailworker.log.log import Log
from mailworker.model import Level
from mailworker.process.system.hardening import harden
from mailworker.process.system.processors import allowed_processors


def assume(core: CoreSettings, number: int | None, log: Log) -> None:
    """Turn the calling process into worker `number` (from 0), in nginx's order, with no way back.

    `number` None is a helper, for which priority and processors are not set, as in nginx.

    Errors in limits, priority and processors are logged at [alert]. Raises StartError if the user or the folder cannot
    be changed.
    """
    _set_environment(core.env)
    if number is not None:
        _set_priority(core.worker_priority, log)
    _set_limit(resource.RLIMIT_NOFILE, "RLIMIT_NOFILE", core.worker_rlimit_nofile, log)
    _set_limit(resource.RLIMIT_CORE, "RLIMIT_CORE", core.worker_rlimit_core, log)
    if core.user is not None and os.geteuid() == 0:
        _become(core.user)
    harden(log, core_dumps=bool(core.worker_rlimit_core))
    if core.worker_cpu_affinity is not None and number is not None:
        _bind_to_processors(core.worker_cpu_affinity, number, log)
    if core.working_directory is not None:
        try:
            os.chdir(core.working_directory)
        except OSError as error:
            raise StartError(f'chdir("{core.working_directory}") failed {describe(error)}') from None


def give_way(niceness: int, log: Log) -> None:
    """Lower the priority of this process; an error is logged at [alert]."""
    try:
        os.nice(niceness)
    except OSError as error:
        log.write(Level.ALERT, f"nice({niceness}) failed {describe(error)}")


def worker_environment(env: tuple[str, ...], current: Mapping[str, str]) -> dict[str, str]:
    """The environment by the `env` directives: TZ, the variables that they keep, and those that they set."""
    kept = {}
    for entry in ("TZ", *env):
        name, equals, value = entry.partition("=")
        if equals:
            kept[name] = value
        elif name in current:
            kept[name] = current[name]
    return kept


def processors_of_worker(affinity: CpuAffinity, number: int, usable: list[int]) -> list[int] | None:
    """The numbers of the processors that worker `number` (from 0) is bound to, None if it is not bound.

    With `auto` it is one from the mask, or else from `usable`; as in nginx, an empty mask binds no worker. Otherwise
    each worker has a mask of its own; the last mask is for all remaining workers.
    """
    if affinity.auto:
        processors = _members(affinity.masks[0]) if affinity.masks else usable
        return [processors[number % len(processors)]] if processors else None
    return _members(affinity.masks[min(number, len(affinity.masks) - 1)])


def _members(mask: int) -> list[int]:
    return [processor for processor in range(mask.bit_length()) if mask >> processor & 1]


def _set_environment(env: tuple[str, ...]) -> None:
    kept = worker_environment(env, os.environ)
    os.environ.clear()
    os.environ.update(kept)


def _set_priority(priority: int, log: Log) -> None:
    if priority:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, priority)
        except OSError as error:
            log.write(Level.ALERT, f"setpriority({priority}) failed {describe(error)}")


def _set_limit(limit: int, name: str, value: int | None, log: Log) -> None:
    if value is not None:
        try:
            resource.setrlimit(limit, (value, value))
        except (OSError, ValueError) as error:
            reason = describe(error) if isinstance(error, OSError) else "(1: Operation not permitted)"
            log.write(Level.ALERT, f"setrlimit({name}, {value}) failed {reason}")


def _bind_to_processors(affinity: CpuAffinity, number: int, log: Log) -> None:
    if not hasattr(os, "sched_setaffinity"):
        return  # the directive has caused a warning
    processors = processors_of_worker(affinity, number, allowed_processors())
    if processors is None:
        return
    for processor in processors:
        log.write(Level.NOTICE, f"sched_setaffinity(): using cpu #{processor}")
    try:
        os.sched_setaffinity(0, processors)
    except OSError as error:
        log.write(Level.ALERT, f"sched_setaffinity() failed {describe(error)}")


def _become(user: User) -> None:
    """Change group, supplementary groups and user. Each step must succeed, or privileges of root would remain."""
    steps: tuple[tuple[str, Callable[[], None]], ...] = (
        (f"setgid({user.gid})", lambda: os.setgid(user.gid)),
        (f"initgroups({user.name}, {user.gid})", lambda: os.initgroups(user.name, user.gid)),
        (f"setuid({user.uid})", lambda: os.setuid(user.uid)),
    )
    for name, step in steps:
        try:
            step()
        except OSError as error:
            raise StartError(f"{name} failed {describe(error)}") from None
