"""Programs of packages that are unpacked, not installed, as Debian allows only one mail server of a kind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.support.daemon import ServerUnavailable, mail_owner

SERVERS = "MAILWORKER_SERVERS"

# In a mount namespace of its own: other processes do not see the mounts, and they end with the last process.
ENTER = """\
mount -t overlay -o "lowerdir=$1/usr:/usr" overlay /usr
mount -t overlay -o "lowerdir=$2/etc:/etc" overlay /etc
mount --bind "$2/run" /run
shift 2
exec "$@"
"""


class Overlay:
    """The overlay of the system's files for the programs of one server.

    They see the unpacked packages over /usr, `folder`/etc over /etc and `folder`/run as /run. mail_owner()
    has the names `users` as well, for them alone. Raises ServerUnavailable without root or where .ci/servers has not
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
        """The command line that runs `command`, with /etc as it is now."""
        return [*self._enter, *command]

    def execute(self, *command: str, data: str = "") -> None:
        """Run `command` to its end, with `data` as its standard input; raises CalledProcessError if it fails."""
        subprocess.run(self.command(*command), input=data, text=True, capture_output=True, check=True)


def create_owned(*folders: Path) -> None:
    """Create folders owned by mail_owner()."""
    owner = mail_owner()
    for folder in folders:
        folder.mkdir(parents=True)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
