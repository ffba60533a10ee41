"""Command lines for the oracle, and configurations that fail only when `-t` looks at what they name."""

from __future__ import annotations

from dataclasses import dataclass

GOOD = "events {}\nmail { auth_http 127.0.0.1:9; server { listen 127.0.0.1; protocol imap; } }\n"


@dataclass(frozen=True, slots=True)
class Case:
    """Switches behind `-p FOLDER -e FOLDER/error.log -c FOLDER/c.conf`, and what is in c.conf.

    `alone` leaves those three out. "@" stands for the folder.
    """

    name: str
    switches: tuple[str, ...]
    text: str = GOOD
    alone: bool = False


_SWITCHES = (
    "-t", "-T", "-tq", "-qT", "-x", "-tx", "x", "--x", "-c", "-p",
    "-g", "-s", "-e", "-tc", "-s foo", "-sstop", "-s reload", "-ts quit",
    "-t -c nosuch.conf", "-c nosuch.conf", "-tcnosuch.conf", "-t -e @/missing/error.log", "-t -e stderr",
    "-t -e @/other.log", "-t -e", "-t -g x;", "-t -g daemon", "-t -gdaemon", "-t -g }", "-t -g events{", "-t -g user;",
    "-t -c @/empty.conf", "-t -p @/nosuch/",
)  # fmt: skip

_TEXTS = {
    "no events": "mail {}",
    "an empty file": "",
    "a syntax error": "events {",
    "a warning": "events {}\nmail { imap_auth plain plain; }",
    "a warning and an error": "events {}\nmail { imap_auth plain plain; x; }",
    "a log in no folder": "error_log missing/error.log;\nevents {}",
    "a log in no folder of a server": "events {}\nmail { auth_http 127.0.0.1; server { listen 127.0.0.1; "
    "protocol imap; error_log missing/error.log; } }",
    "a pid file in no folder": "pid missing/pid;\nevents {}",
    "an address of somebody else": "events {}\nmail { auth_http 127.0.0.1; server { listen 192.0.2.1:143; } }",
    "a socket in no folder": "events {}\nmail { auth_http 127.0.0.1; "
    "server { listen unix:@/missing/s; protocol imap; } }",
    "a socket": "events {}\nmail { auth_http 127.0.0.1; server { listen unix:@/s; protocol imap; } }",
    "a socket where a file is": "events {}\nmail { auth_http 127.0.0.1; "
    "server { listen unix:@/c.conf; protocol imap; } }",
    "too few connections": "events { worker_connections 1; }\nmail { auth_http 127.0.0.1; "
    "server { listen 127.0.0.1; listen 127.0.0.2; protocol imap; } }",
    "a wildcard and a bound address": "events {}\nmail { auth_http 127.0.0.1; "
    "server { listen 127.0.0.1; listen *; protocol imap; } }",
    "zones of two sizes": "events {}\nmail { auth_http 127.0.0.1; ssl_session_cache shared:a:1m; "
    "server { listen 127.0.0.1; protocol imap; ssl_session_cache shared:a:2m; } }",
    "no such user": "user nosuch;\nevents {}",
    "several files": "events {}\ninclude empty.conf;\ninclude empty.conf;\ninclude *.more;\n",
    "a certificate that is missing": "events {}\nmail { auth_http 127.0.0.1; ssl_certificate a; ssl_certificate_key b; "
    "server { listen 127.0.0.1 ssl; protocol imap; } }",
    "syslog and stderr": "error_log stderr;\nerror_log syslog:server=127.0.0.1:9 info;\nevents {}",
}

CASES = (
    *(Case(switches, tuple(switches.split())) for switches in _SWITCHES),
    *(Case(name, ("-t",), text) for name, text in _TEXTS.items()),
    Case("a warning that -q leaves", ("-tq",), _TEXTS["a warning"]),
    Case("nothing to dump", ("-T",), _TEXTS["a syntax error"]),
    Case("several files to dump", ("-T",), _TEXTS["several files"]),
    Case("an empty argument", ("-t", "-g", "")),
    Case("a block in the argument", ("-t", "-g", "events {}")),
    Case("a repeated directive in the argument", ("-t", "-g", "worker_processes 1; worker_processes 2;")),
    Case("an empty prefix", ("-t", "-p", "")),
    Case("an unterminated word in the argument", ("-t", "-g", "pid 'x")),
    Case("version", ("-v",), alone=True),
    Case("help", ("-h",), alone=True),
    Case("help by a question mark", ("-?",), alone=True),
)
