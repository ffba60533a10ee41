"""Where all is found that switches and directives do not name: what nginx's `configure` is told.

`make install` writes these lines anew, as distributions have places and a user of their own.
"""

from typing import Final

PREFIX: Final = "/usr/local/mailworker"
# Below the prefix, where they are not absolute.
CONFIGURATION: Final = "conf/mailworker.conf"
ERROR_LOG: Final = "logs/error.log"
PID: Final = "logs/mailworker.pid"
LOCK: Final = "logs/mailworker.lock"
# Who workers of a master that is root are; of the groups the first that there is.
USER: Final = "nobody"
GROUPS: Final = ("nobody", "nogroup")
