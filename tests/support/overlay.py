"""Programs of packages that are unpacked, not installed, as Debian has room for one mail server of a kind only."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.support.daemon import ServerUnavailable, mail_owner

SERVERS = "MAILWORKER_SERVERS"

# In a namespace of its own, so that nobody else sees the mounts and the last process that ends takes them along.
ENTER = """\
mount -t overlay -o "lowerdir=$1/usr:/usr" overlay /usr
mount -t overlay -o "lowerdir=$2/etc:/etc" overlay /etc
mount --bind "$2/run" /run
shift 2
exec "$@"
"""


class Overlay:
    """What lies over the system's files for the programs of one server.

    They see the unpacked packages over /usr, `folder`/etc over /etc and `folder`/run as /run. Each of `users` is
    mail_owner() by another name, for them alone. Raises ServerUnavailable without root or where .ci/servers has not
    unpacked the packages.
    """

    def __init__(self, folder: Path, users: Iterable[str] = ()) -> None:
        packages = os.environ.get(SERVERS, "")
        if not packages:
            raise ServerUnavailable(f"{SERVERS} is not set, see CONTRIBUTING.md")
        if os.geteuid() != 0:
            raise ServerUnavailable("only root can mount")
        folder.mkdir(mode=0o755)
        self.etc = folder / "etc"
        self.run = folder / "run"
        self.etc.mkdir()
        self.run.mkdir()
        owner = mail_owner()
        passwd = [f"{user}:x:{owner.pw_uid}:{owner.pw_gid}::/:/bin/false\n" for user in users]
        groups = [f"{user}:x:{owner.pw_gid}:\n" for user in users]
        (self.etc / "passwd").write_text(Path("/etc/passwd").read_text() + "".join(passwd))
        (self.etc / "group").write_text(Path("/etc/group").read_text() + "".join(groups))
        self._enter = ["unshare", "--mount", "sh", "-ec", ENTER, "sh", packages, str(folder)]

    def command(self, *command: str) -> list[str]:
        """The command line that runs `command`, for which /etc stays as it is now."""
        return [*self._enter, *command]

    def execute(self, *command: str, data: str = "") -> None:
        """Run `command`, with `data` as its standard input, to its end; raises CalledProcessError if it fails."""
        subprocess.run(self.command(*command), input=data, text=True, capture_output=True, check=True)


def create_owned(*folders: Path) -> None:
    """Create folders that belong to mail_owner()."""
    owner = mail_owner()
    for folder in folders:
        folder.mkdir(parents=True)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
