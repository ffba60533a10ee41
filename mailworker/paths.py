"""Default paths and user, where switches and directives name none: the options of nginx's `configure`.

`make install` rewrites these lines, as distributions have their own paths and user.
"""

from typing import Final

PREFIX: Final = "/usr/local/mailworker"
# Relative paths start at the prefix.
CONFIGURATION: Final = "conf/mailworker.conf"
ERROR_LOG: Final = "logs/error.log"
PID: Final = "logs/mailworker.pid"
LOCK: Final = "logs/mailworker.lock"
# User and group of the workers of a master that is root; the first existing group counts.
USER: Final = "nobody"
GROUPS: Final = ("nobody", "nogroup")
