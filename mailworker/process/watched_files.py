"""The files of a configuration that may change while it is in use: user files and folders of certificates."""

from __future__ import annotations

from mailworker.errors import counted
from mailworker.process.certificate_folders import CertificateFolders
from mailworker.process.link import PAIRS, FileUpdate
from mailworker.process.user_files import UserFiles


class WatchedFiles:
    """The content of these files."""

    __slots__ = ("folders", "users")

    def __init__(self, users: UserFiles, folders: CertificateFolders) -> None:
        self.folders = folders
        self.users = users

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.users.users or self.folders.scans)

    def adopt(self, update: FileUpdate) -> str:
        """Apply an update, and close its descriptor. Raises OSError.

        Returns a line for the log, empty if nothing has changed here.
        """
        kind, path, descriptor = update
        if not (self.folders if kind == PAIRS else self.users).adopt(path, descriptor):
            return ""
        if kind == PAIRS:
            return f'certificates below "{path}" have changed, {len(self.folders.scans[path].folder)} in all'
        return f'user file "{path}" has changed, {counted(self.users.count(path), "user")}'
