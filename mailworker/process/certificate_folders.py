"""The folders of `ssl_certificate_directory`, which the master reads for all workers."""

from __future__ import annotations

import pickle
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import partial

from mailworker.config.ssl import SslSettings
from mailworker.config.tree import Warn
from mailworker.errors import ConfigError
from mailworker.log.line import describe
from mailworker.model import Level
from mailworker.native.tls.context import Context
from mailworker.native.tls.queue import OpenSslError
from mailworker.process.steps import Pauses
from mailworker.shm.sealed import read_sealed
from mailworker.tls.folder import BadPair, Folder, NamedPair
from mailworker.tls.folder_scan import Change, FolderScan


class CertificateFolders:
    """The certificates below each folder that a configuration names."""

    __slots__ = ("_contexts", "scans")

    def __init__(self) -> None:
        self.scans: dict[str, FolderScan] = {}
        self._contexts: dict[str, dict[str, Context]] = {}  # of servers that use a folder, one for each list of ciphers

    def __iter__(self) -> Iterator[Folder]:
        return (scan.folder for scan in self.scans.values())

    def read(
        self, servers: Iterable[SslSettings | None], warn: Warn, earlier: CertificateFolders | None = None
    ) -> Generator[float, None, None]:
        """Read the folders of `servers` that have not been read yet; warnings go to `warn`.

        Takes from `earlier` what has not changed since it was read there. Yields the seconds to wait before it is
        resumed. Raises ConfigError.
        """
        pauses = Pauses()
        for settings in servers:
            for path in () if settings is None else settings.certificate_directories:
                if path in self.scans:
                    continue
                scan = FolderScan(path)
                try:
                    for warning in scan.load(None if earlier is None else earlier.scans.get(path)):
                        if warning:
                            warn(Level.WARN, warning)
                        else:
                            yield from pauses.due()
                except OSError as error:
                    raise ConfigError(f'cannot read certificate directory "{path}" {describe(error)}') from None
                if not len(scan.folder):
                    warn(Level.WARN, f'certificate directory "{path}" has no certificate')
                self.scans[path] = scan

    def of(self, settings: SslSettings, warn: Warn) -> tuple[Folder, ...]:
        """The folders of a server, which have been read. Warns of names for which two of them have certificates."""
        scans = [self.scans[path] for path in settings.certificate_directories]
        for number, scan in enumerate(scans):
            for warning in scan.note_earlier(each.folder for each in scans[:number]):
                warn(Level.WARN, warning)
        return tuple(scan.folder for scan in scans)

    def use(self, context: Context, settings: SslSettings, warn: Warn) -> None:
        """Remove the pairs that the server's context does not accept from its folders."""
        for path in settings.certificate_directories:
            contexts = self._contexts.setdefault(path, {})
            if settings.ciphers in contexts:
                continue
            contexts[settings.ciphers] = context
            scan = self.scans[path]
            scan.check = partial(self._fault, path)
            for fault in scan.remove_refused(lambda pair: _refusal(context, pair)):
                warn(Level.WARN, fault)

    def adopt(self, path: str, descriptor: int) -> bool:
        """Apply the changes that another process has found below a folder, and close their descriptor. Raises OSError.

        Returns whether the certificates have changed. They have not if this configuration does not use the folder, or
        if all changes are files that cannot be used.
        """
        changes: list[Change] = pickle.loads(bytes(read_sealed(descriptor)))
        scan = self.scans.get(path)
        if scan is None:
            return False
        for change in changes:
            scan.note(change, _built(scan.folder, change))
        return any(change.pairs or change.stamp is None for change in changes)

    def _fault(self, path: str, pair: NamedPair) -> str | None:
        """Why a pair that was added below a folder cannot be used, None if it can."""
        return next((fault for each in self._contexts[path].values() if (fault := _refusal(each, pair))), None)


def _refusal(context: Context, pair: NamedPair) -> str | None:
    try:
        pair.check_for(context)
    except OpenSslError as error:
        return f"cannot be used: {error.call}() failed (SSL: {' '.join(error.reasons)})"
    return None


def _built(folder: Folder, change: Change) -> Sequence[NamedPair]:
    pairs = []
    for data in change.pairs:
        try:
            pairs.append(folder.build(data))
        except BadPair:  # the process that read it has built it
            continue
    return pairs
