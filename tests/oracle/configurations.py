"""Configurations for the oracle: a good half of them is wrong in one way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Case:
    """A main file and others beside it.

    `newer` is our verdict where it differs from that of nginx 1.22.1 on purpose; `since` says what changed.
    """

    name: str
    text: bytes
    files: Mapping[str, bytes] = field(default_factory=dict)
    globals_: str = ""
    newer: tuple[str, ...] | None = None
    since: str = ""


# A server in which only the directive at hand can be wrong; port 0 so that binding it always works.
SERVER = "events {}\nmail {\n auth_http 127.0.0.1:9000;\n server {\n  protocol imap;\n  listen 127.0.0.1;\n%s\n }\n}\n"
LISTENING = "events {}\nmail {\n auth_http 127.0.0.1:9000;\n server {\n  protocol imap;\n%s\n }\n}\n"

WORDS = (
    "{", "}", ";", "events {", "events {}\n}", "events {} mail {", "events {} mail { server {\n\n", "a", "a b",
    "a;", "events;", "events x {}", "mail on;", 'daemon "on', "daemon 'on\n\n", 'daemon "on"', 'daemon "on"off;',
    'daemon "on");', "daemon on)", "daemon on # x", "# only a comment", "#", "daemon on }", "daemon on; }", "daemon",
    "\n\n daemon\n on\n # why\n\n off;", "daemon on off;", "dae\\mon on;", "daemon o\\n;", 'daemon "o\\n";',
    "events {} events {}", "events {} mail {} mail {}", "events {} server {}", "mail { events {} }",
    "events { daemon on; }", "mail { daemon on; }", "listen 25;", "events {} mail { listen 25; }", "\ufeffdaemon on;",
    "Daemon on;", "daemon ON;", "daemon Off; daemon on;", "daemon maybe;", "daemon ;", "daemon {", "daemon {}",
    "daemon ${on};", "daemon $on{ off;", "daemon $;", "daemon a\\;b;", "daemon a\\ b;", "daemon \\", "daemon \\;",
    'daemon "a\\"b";', "daemon 'a\"b';", 'daemon "a;b{c}d#e";', "daemon a#b;", "daemon\ton\r\n;\r", "daemon\vx on;",
    "daemon 'on';events\t{}", "{ daemon on; }", ";;", "events {};", "events {}}", "daemon é;", "daemon '';",
    "daemon \"on\"{", 'daemon "on" )off;', "events {} # last words", "events {}\nuser a b c;", "events {}\nx {\n",
    "include;", "include a b;", "include {}",
)  # fmt: skip

MAIN = (
    "worker_processes 0;", "worker_processes 4;", "worker_processes auto;", "worker_processes x;",
    "worker_processes -1;", "worker_processes 1; worker_processes 2;", "worker_processes 9999999999999999999;",
    "worker_processes Auto;", "timer_resolution 100ms;", "timer_resolution 1M;", "timer_resolution 1y;",
    "timer_resolution 1m30s;", "timer_resolution '1m 30s';", "timer_resolution 30s1m;", "timer_resolution '';",
    "timer_resolution s;", "timer_resolution 1hm;", "timer_resolution '10 5';", "timer_resolution ' 10';",
    "timer_resolution ' 10s';", "timer_resolution 3x;", "timer_resolution 1w2d3h4m5s6ms;",
    "timer_resolution 5ms6;", "timer_resolution 9223372036854775807;", "timer_resolution 9223372036854775;",
    "timer_resolution 9223372036854776;", "timer_resolution 1s1s;", "timer_resolution '1s 2';",
    "worker_shutdown_timeout 10s;", "worker_shutdown_timeout 1d; worker_shutdown_timeout 1d;",
    "worker_priority -5;", "worker_priority +5;", "worker_priority 5-;", "worker_priority -;",
    "worker_priority 0; worker_priority 0;", "worker_priority 1; worker_priority 2;",
    "worker_cpu_affinity 1;", "worker_cpu_affinity 01 10;", "worker_cpu_affinity auto;",
    "worker_cpu_affinity auto 1;", "worker_cpu_affinity auto 1 1;", "worker_cpu_affinity 12;",
    "worker_cpu_affinity '0 1';", "worker_cpu_affinity 1; worker_cpu_affinity 1;", "worker_cpu_affinity Auto;",
    "worker_processes 2; worker_cpu_affinity 01 10;", "worker_rlimit_nofile 100;", "worker_rlimit_nofile 1k;",
    "worker_rlimit_core 1g;", "worker_rlimit_core 1t;", "working_directory /tmp; working_directory /;",
    "env A; env B=c; env D=;", "env;", "user root;", "user nosuch;", "user root nosuch;", "user root; user root;",
    "debug_points stop;", "debug_points Abort;", "debug_points x;", "lock_file a; lock_file b;",
    "pcre_jit off;", "pcre_jit maybe;", "master_process off;", "error_log x.log;",
    "error_log stderr loud;", "error_log stderr info warn;", "error_log stderr debug_mail;",
    "error_log stderr debug_mail info;", "error_log stderr info debug_mail;", "error_log;", "error_log stderr INFO;",
    "error_log '';", "lock_file '';", "working_directory '';",
    "error_log memory:x;", "error_log memory:10;", "error_log memory:2k;", "error_log memory:4k debug;",
    "error_log memory:1m;", "error_log syslog:;",
    "error_log syslog:server=127.0.0.1;", "error_log syslog:server=127.0.0.1:x;", "error_log syslog:tag=a;",
    "error_log syslog:server=127.0.0.1,server=127.0.0.1;", "error_log syslog:server=127.0.0.1,facility=x;",
    "error_log syslog:server=127.0.0.1,facility=local0,severity=x;", "error_log syslog:server=unix:;",
    "error_log syslog:server=127.0.0.1,tag=a-b;", "error_log syslog:server=127.0.0.1,nohostname warn;",
    "error_log syslog:server=127.0.0.1,tag=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa;", "error_log syslog:server=[::1]:514,x;",
    "error_log syslog:server=127.0.0.1,facility=mail,facility=mail;", "error_log syslog:server=127.0.0.1, info;",
)  # fmt: skip

EVENTS = (
    "worker_connections 10;", "worker_connections 0;", "worker_connections x;", "worker_connections 1k;",
    "worker_connections 1; worker_connections 1;", "use epoll;", "use kqueue;", "use poll;", "use select;",
    "use /dev/poll;", "use eventport;", "use rtsig;", "use '';",
    "use Epoll;", "use epoll; use epoll;", "multi_accept on;", "multi_accept 1;", "accept_mutex on;",
    "accept_mutex_delay 1s;", "accept_mutex_delay x;", "debug_connection 127.0.0.1;",
    "debug_connection 10.0.0.1/8;", "debug_connection unix:;", "debug_connection ::1/64;",
    "debug_connection no.such.host.invalid;", "debug_connection 1.2.3.4/33;", "epoll_events 5;",
    "worker_aio_requests x;", "timeout 3s;",
)  # fmt: skip

DIRECTIVES = (
    "timeout 1m;", "timeout 1y;", "timeout 0;", "timeout;", "timeout 1 2;", "timeout -1;", "timeout 1;timeout 1;",
    "timeout {}", "timeout 1.5;", "server_name '';",
    "max_errors 0;", "max_errors -1;", "max_errors 1k;", "max_errors 18446744073709551616;",
    "protocol smtp; protocol pop3;", "protocol IMAP;", "protocol;", "resolver off;", "resolver off off;",
    "resolver 127.0.0.1;", "resolver 127.0.0.1:x;", "resolver 127.0.0.1:0;", "resolver 127.0.0.1 valid=x;",
    "resolver 127.0.0.1 valid=1M;", "resolver 127.0.0.1 valid=1ms;", "resolver valid=1s;",
    "resolver 127.0.0.1 ipv6=off;", "resolver 127.0.0.1 ipv6=Off;", "resolver no.such.host.invalid;",
    "resolver 127.0.0.1; resolver off;", "resolver [::1]:53 127.0.0.1;", "resolver [::1;", "resolver [x];",
    "resolver_timeout 1s; resolver_timeout 1s;", "starttls on; starttls off;", "starttls ON;", "starttls maybe;",
    "starttls off; ssl off;", "ssl on; starttls on;", "starttls on; ssl on;", "ssl off; ssl off;", "ssl maybe;",
    "ssl on;", "\n\nstarttls only;", "\nstarttls on;\nssl_certificate a;", "ssl_certificate a; ssl_certificate_key b;",
    "starttls on; ssl_certificate a; ssl_certificate b; ssl_certificate_key c;", "ssl_certificate a b;",
    "ssl_protocols TLSv1.2 TLSv1.3;", "ssl_protocols tlsv1.2 TLSv1.2;", "ssl_protocols TLSv1.4;",
    "ssl_protocols TLSv1; ssl_protocols TLSv1;", "ssl_ciphers a; ssl_ciphers b;", "ssl_ciphers nonsense;",
    "ssl_prefer_server_ciphers on;", "ssl_ecdh_curve x;", "ssl_dhparam x;", "ssl_session_cache off;",
    "ssl_session_cache none; ssl_session_cache builtin;", "ssl_session_cache builtin:10 shared:a:1m;",
    "ssl_session_cache shared:a:1m; ssl_session_cache shared:a:2m;", "ssl_session_cache shared:a:1k;",
    "ssl_session_cache shared:a;", "ssl_session_cache shared::1m;", "ssl_session_cache shared:a:x;",
    "ssl_session_cache shared:;", "ssl_session_cache shared;", "ssl_session_cache builtin:;",
    "ssl_session_cache builtin:x;", "ssl_session_cache OFF;", "ssl_session_cache off off off;",
    "ssl_session_cache shared:a:1:m;", "ssl_session_cache shared:a:32767;", "ssl_session_cache shared:a:32768;",
    "ssl_session_tickets off;", "ssl_session_ticket_key nosuch;", "ssl_session_timeout 1y1M;",
    "ssl_session_timeout 1ms;", "ssl_session_timeout '1h 30m';", "ssl_session_timeout 1y 1y;",
    "ssl_session_timeout 9223372036854775807;", "ssl_session_timeout 9223372036854775808;", "ssl_verify_client on;",
    "ssl_verify_client Optional_No_CA;", "ssl_verify_client x;", "ssl_verify_depth x;", "ssl_crl a; ssl_crl b;",
    "ssl_client_certificate a;", "ssl_trusted_certificate a;", "ssl_conf_command a;", "ssl_conf_command a b;",
    "ssl_password_file nosuch;", "ssl_password_file pass; ssl_password_file pass;", "ssl_password_file pass;",
    "ssl_password_file long;", "ssl_password_file edge;", "ssl_password_file sub;",
    "imap_client_buffer 4k;", "imap_client_buffer 1g;", "imap_client_buffer '';",
    "imap_client_buffer 9223372036854775807k;",
    "imap_capabilities A; imap_capabilities A B;", "imap_capabilities;", "imap_auth plain login cram-md5 external;",
    "imap_auth PLAIN plain;", "imap_auth apop;", "imap_auth none;", "imap_auth plain; imap_auth plain;",
    "pop3_auth plain apop cram-md5 external;", "pop3_auth login;", "pop3_capabilities TOP;",
    "smtp_auth plain login cram-md5 external none;", "smtp_auth apop;",
    "smtp_client_buffer 1K; smtp_client_buffer 1K;", "smtp_greeting_delay 1s;", "smtp_greeting_delay 1y;",
    "smtp_capabilities 'SIZE 1000' PIPELINING;", "auth_http http://127.0.0.1:9000/auth?x;",
    "auth_http https://127.0.0.1;", "auth_http HTTP://127.0.0.1;", "auth_http 127.0.0.1:0;",
    "auth_http 127.0.0.1:65536;", "auth_http 127.0.0.1:;", "auth_http :80;", "auth_http '';", "auth_http http://;",
    "auth_http /a;", "auth_http ?a;", "auth_http unix:;", "auth_http unix::/a;", "auth_http unix:/a:/b;",
    "auth_http UNIX:/a;", "auth_http unix:" + "a" * 107 + ";", "auth_http unix:" + "a" * 108 + ";",
    "auth_http [::1]:80/a;", "auth_http [::1;", "auth_http [];", "auth_http [::1]x;", "auth_http [::g];",
    "auth_http [::1]:x;", "auth_http [::1]:;", "auth_http [::1]:/a;", "auth_http no.such.host.invalid/a;",
    "auth_http 127.0.0.1:80-81;", "auth_http 1.2.3.4.5;", "auth_http 256.1.1.1;", "auth_http 127.0.0.1; auth_http x:;",
    "auth_http *:80;", "auth_http a:b:c;", "auth_http 127.0.0.1:080;", "auth_http 127.0.0.1:9000:1;",
    "auth_http_timeout 1s;", "auth_http_header a;", "auth_http_header a b; auth_http_header a b;",
    "auth_http_pass_client_cert on;", "proxy on;", "proxy x;", "proxy_buffer 4k; proxy_buffer 4k;",
    "proxy_buffer x;", "proxy_timeout 1d;", "proxy_pass_error_message on;", "xclient off;", "xclient x;",
    "proxy_smtp_auth on;", "proxy_protocol on;", "set_real_ip_from 10.0.0.1/8;",
    "set_real_ip_from 10.0.0.0/8; set_real_ip_from 10.0.0.0/8;", "set_real_ip_from unix:;",
    "set_real_ip_from UNIX:;", "set_real_ip_from 1.2.3.4/;", "set_real_ip_from 1.2.3.4/33;",
    "set_real_ip_from ::1/129;", "set_real_ip_from ::1/64;", "set_real_ip_from 0.0.0.0/0;",
    "set_real_ip_from 1.2.3.4/0;", "set_real_ip_from no.such.host.invalid;", "set_real_ip_from ::ffff:1.2.3.4/96;",
    "error_log stderr;", "error_log stderr; error_log stderr info;", "error_log stderr x;", "include nosuch;",
    "worker_connections 5;", "server {}", "mail {}", "nosuch on;",
)  # fmt: skip

LISTENS = (
    "listen 127.0.0.1; listen 127.0.0.1;", "listen 0;", "listen 65536;", "listen '';", "listen :25;", "listen *;",
    "listen 127.0.0.1:0;", "listen 127.0.0.1:x;", "listen 127.0.0.1:;", "listen 25-24;", "listen 25-80000;",
    "listen 0-10;", "listen 127.0.0.1:40-30;", "listen 127.0.0.1:40-x;", "listen 127.0.0.1:0-3;", "listen 25-x;",
    "listen [::1]:30-20;", "listen [::1]:1-99999;", "listen 127.0.0.1:/a;", "listen 127.0.0.1/a;", "listen 25/;",
    "listen unix:;", "listen unix:" + "a" * 108 + ";", "listen [::1;", "listen [];", "listen []:25;",
    "listen [::1]x;", "listen [::g]:25;", "listen [::1]:;", "listen [::1]:0;", "listen [::1]/a;",
    "listen no.such.host.invalid:25;", "listen no.such.host.invalid;", "listen 127.0.0.1 bind;",
    "listen 127.0.0.1 backlog=5;", "listen 127.0.0.1 backlog=0;", "listen 127.0.0.1 backlog=x;",
    "listen 127.0.0.1 backlog=-1;", "listen 127.0.0.1 backlog=;", "listen 127.0.0.1 rcvbuf=8k;",
    "listen 127.0.0.1 rcvbuf=x;", "listen 127.0.0.1 sndbuf=8k;", "listen 127.0.0.1 sndbuf=;",
    "listen 127.0.0.1 ipv6only=onn;", "listen 127.0.0.1 so_keepalive=on;", "listen 127.0.0.1 so_keepalive=off;",
    "listen 127.0.0.1 so_keepalive=30m::10;", "listen 127.0.0.1 so_keepalive=30m;",
    "listen 127.0.0.1 so_keepalive=:1:;", "listen 127.0.0.1 so_keepalive=::;", "listen 127.0.0.1 so_keepalive=;",
    "listen 127.0.0.1 so_keepalive=x;", "listen 127.0.0.1 so_keepalive=1:2:3:4;",
    "listen 127.0.0.1 so_keepalive=1ms::;", "listen 127.0.0.1 so_keepalive=0::;",
    "listen 127.0.0.1 so_keepalive=::x;", "listen 127.0.0.1 so_keepalive=On;", "listen 127.0.0.1 ssl;",
    "listen 127.0.0.1 so_keepalive=1m:: so_keepalive=::;", "listen 127.0.0.1 so_keepalive=1m:: so_keepalive=0::;",
    "\nlisten 127.0.0.1 ssl;\nssl_certificate a;", "listen 127.0.0.1 ssl; ssl_certificate a; ssl_certificate_key b c;",
    "listen\n127.0.0.1\nssl\n;\n", "listen 127.0.0.1 ssl;\n\nstarttls on;", "starttls on;\n\nlisten 127.0.0.1 ssl;",
    "listen 127.0.0.1 ssl;\nssl on;", "listen 127.0.0.1;\nssl on;\n", "listen 127.0.0.1 proxy_protocol;",
    "listen 127.0.0.1 proxy_protocol bind backlog=1 rcvbuf=1k sndbuf=1k so_keepalive=on;", "listen;", "",
    "listen 127...1;", "listen 127.0.0.01;", "listen 127.0.0.1 bind bind;", "listen localhost;",
)  # fmt: skip

LONG = (
    b"daemon " + b"a" * 4000 + b";",
    b"daemon " + b"a" * 4094 + b" ;\n",
    b"daemon " + b"a" * 4095 + b";\n",
    b"daemon " + b"a" * 4095 + b" ;\n",
    b"daemon " + b"a" * 4096 + b";\n",
    b"daemon " + b"a" * 5000,
    b"\n\ndaemon\n" + b"a" * 5000 + b"\n;",
    b'daemon "' + b"a" * 4093 + b'" ;\n',
    b'daemon "' + b"a" * 4094 + b'";\n',
    b'daemon "' + b"a" * 4094 + b'" ;\n',
    b'daemon "' + b"a" * 4095 + b'";\n',
    b'daemon "' + b"a\n" * 2500 + b'";\n',
    b"daemon '" + b"a\n" * 2500,
    b'daemon "' + b"\\n" * 2047 + b'";\n',
    b"#" + b"a" * 4094 + b"\nevents {}",
    b"#" + b"a" * 4095 + b"\nevents {}",
    b"#" + b"a" * 4096 + b"\nevents {}",
    b"#" + b"a" * 5000,
    b"events {}" + b" " * 9000 + b"\n" * 9000 + b"x;",
    b"\xe9vents {}",
    b"daemon \xe9;",
    b"daemon " + b"$" * 100 + b"{" * 100 + b";",
)

GLOBALS = (
    "daemon off;", "daemon off", "daemon", "events {}", "}", "x;", "daemon maybe;", "daemon off off;",
    "worker_processes x;", "daemon 'off", "timeout 1s;", "include nosuch;", "include some.conf;", "# note",
)  # fmt: skip

SECTIONS = (
    "events {}",
    "",
    "mail {}",
    "events { worker_connections 1; }\nmail {\nauth_http 127.0.0.1;\nserver { listen 127.0.0.1; protocol imap; } }",
    "events { worker_connections 2; }\nmail {\nauth_http 127.0.0.1;\nserver { listen 127.0.0.1; protocol imap; } }",
    "events {}\nmail {\n\nserver {\nlisten 127.0.0.1; } }",
    "events {}\nmail {\n\nserver {\nlisten 127.0.0.1;\nprotocol imap; } }",
    "events {}\nmail {\nserver\n\n{\nlisten 127.0.0.1;\nprotocol imap; } }",
    "events {}\nmail { server {\nlisten 127.0.0.1; protocol imap; starttls on; }\nserver { listen [::1]; } }",
    "events {}\nmail {\nstarttls on;\nserver {\nlisten 127.0.0.1; protocol imap; }}",
    "events {}\nmail {\nssl on;\nserver {\nlisten 127.0.0.1; protocol imap; }}",
    "events {}\nmail {\nssl on;\nserver {\nlisten 127.0.0.1; protocol imap;\nstarttls off; }}",
    "events {}\nmail {\nssl_certificate a;\nserver {\nlisten 127.0.0.1 ssl; protocol imap; }}",
    "events {}\nmail { server { listen 127.0.0.1; protocol imap; ssl_session_cache shared:a:1m; }\n"
    "server { ssl_session_cache shared:a:2m; } }",
    "events {}\nmail { timeout 1s;\nserver { timeout 2s; listen 127.0.0.1; protocol imap; auth_http unix:/a; } }",
    "events {}\nmail { protocol imap; }",
    "events {}\nmail { server { server {} } }",
    "user nosuch; events",
)

INCLUDES: tuple[tuple[str, Mapping[str, bytes]], ...] = (
    ("events {}\ninclude some.conf;\n", {"some.conf": b"daemon off;"}),
    ("events {}\ninclude some.conf;\n", {"some.conf": b"\n\ndaemon maybe;"}),
    ("events {}\ninclude some.conf;\nbad;", {"some.conf": b"daemon off;"}),
    ("events {}\ninclude some.conf;\n", {"some.conf": b"daemon off"}),
    ("events {}\ninclude some.conf;\n", {"some.conf": b"}"}),
    ("events {\ninclude some.conf;\n}", {"some.conf": b"}"}),
    ("events {}\ninclude some.conf;\n", {"some.conf": b"events {"}),
    ("events {}\ninclude some.conf;\n", {"some.conf": b"mail {\n"}),
    ("events {\ninclude some.conf;\n}", {"some.conf": b"daemon on;"}),
    ("events {}\ninclude nosuch/*.conf;\n", {}),
    ("events {}\ninclude nosuch.conf;\n", {}),
    ("events {}\ninclude /;\n", {}),
    ("events {}\ninclude d/*.conf;\n", {"d/b.conf": b"bbb;", "d/a.conf": b"daemon off;", "d/c.txt": b"ccc;"}),
    ("events {}\ninclude d/*.conf;\n", {"d/.hidden.conf": b"bbb;"}),
    ("events {}\ninclude d/.*.conf;\n", {"d/.hidden.conf": b"bbb;"}),
    ("events {}\ninclude d/*;\n", {"d/B": b"upper;", "d/a": b"lower;"}),
    ("events {}\ninclude d/?.conf;\n", {"d/aa.conf": b"two;", "d/b.conf": b"one;"}),
    ("events {}\ninclude d/[b-c].conf;\n", {"d/a.conf": b"a;", "d/c.conf": b"c;"}),
    ("events {}\ninclude d/[!b-c].conf;\n", {"d/a.conf": b"a;", "d/c.conf": b"c;"}),
    ("events {}\ninclude d/[^b-c].conf;\n", {"d/a.conf": b"a;", "d/c.conf": b"c;"}),
    ("events {}\ninclude d/[[:upper:]].conf;\n", {"d/a.conf": b"a;", "d/C.conf": b"c;"}),
    ("events {}\ninclude d/[[:alpha:]_-].conf;\n", {"d/-.conf": b"a;", "d/1.conf": b"c;"}),
    ("events {}\ninclude 'd/\\\\[a\\\\].conf';\n", {"d/[a].conf": b"literal;", "d/a.conf": b"klass;"}),
    ("events {}\ninclude d/[].conf;\n", {"d/[].conf": b"literal;"}),
    ("events {}\ninclude d/[]a].conf;\n", {"d/].conf": b"bracket;"}),
    ("events {}\ninclude d/[z-a].conf;\n", {"d/b.conf": b"b;", "d/z.conf": b"z;"}),
    ("events {}\ninclude */some.conf;\n", {"x/some.conf": b"x;", "y/other.conf": b"y;"}),
    ("events {}\ninclude x*/*.conf;\n", {"x1/a.conf": b"daemon off;", "x2/b.conf": b"daemon on;"}),
    ("events {}\ninclude ./x/../some.conf;\n", {"some.conf": b"daemon x;", "x/y": b""}),
    ("events {}\ninclude empty.conf;\ninclude empty.conf;", {"empty.conf": b""}),
    ("events {}\ninclude a.conf;\n", {"a.conf": b"include b.conf;\nbad;", "b.conf": b"\ndaemon off;"}),
    ("events {}\ninclude a.conf;\n", {"a.conf": b"\ninclude nosuch.conf;"}),
    ("events {}\nmail { server { include a.conf; } }", {"a.conf": b"listen 127.0.0.1;\nprotocol x;"}),
    ("events {}\nmail { include a.conf; }", {"a.conf": b"\n\nserver { protocol imap; }"}),
    ("events {}\nmail { include a.conf; }", {"a.conf": b"\n\nserver { protocol imap; listen 127.0.0.1; }"}),
    ("events {}\ninclude d*;\n", {"d/a": b""}),
    ("events {}\ninclude d\\*;\n", {"d/a": b"", "d*": b"star;"}),
)

AUXILIARY = {
    "pass": b"one\r\ntwo\n\nthree",
    "long": b"a" * 4096 + b"\n",
    "edge": b"a" * 4095 + b"\n" + b"b" * 4095,
    "sub/x": b"",
}

Differences = Mapping[str, tuple[tuple[str, ...], str]]
"""Directive: our verdict on it, and what differs."""

DIFFERENCES: Differences = {
    "listen 127.0.0.1 proxy_protocol bind x;": (('[emerg] invalid parameter "x" in c.conf:6',), "text of nginx 1.29"),
    "listen 127.0.0.1 deferred;": (('[emerg] invalid parameter "deferred" in c.conf:6',), "text of nginx 1.29"),
    "listen 127.0.0.1 ipv6only=yes;": (('[emerg] invalid parameter "ipv6only=yes" in c.conf:6',), "text of nginx 1.29"),
    "listen 127.0.0.1 multipath;": ((), "nginx 1.29.7"),
    "listen 127.0.0.1 default_server;": ((), "nginx's http module"),
    "listen 127.0.0.1 reuseport;": ((), "Angie"),
}
_INT = "value must be between 0 and 2147483647"
_NO_LOW_BITS = "nginx gives a system call the low 32 bits of the number"
# Numbers that nginx takes, and then counts or allocates with what is left of them.
TOO_LARGE_MAIN: Differences = {
    "worker_processes 1025;": (("[emerg] value must be between 0 and 1024 in c.conf:2",), "nginx starts 1024 at most"),
    "worker_priority 2147483648;": (
        ('[emerg] "worker_priority" directive invalid number in c.conf:2',),
        _NO_LOW_BITS,
    ),
}
# An engine is loaded where a key is in it, and not before.
ENGINE: Differences = {"ssl_engine nosuch;": ((), "mailworker alone")}
TOO_LARGE: Differences = {
    "imap_client_buffer 9223372036854775807;": ((f"[emerg] {_INT} in c.conf:7",), "nginx has no memory for a session"),
    "proxy_buffer 2147483648;": ((f"[emerg] {_INT} in c.conf:7",), "nginx has no memory for a session"),
    "ssl_verify_depth 2147483648;": ((f"[emerg] {_INT} in c.conf:7",), _NO_LOW_BITS),
}
TOO_LARGE_LISTENS: Differences = {
    f"listen 127.0.0.1 {parameter};": ((f"[emerg] invalid {told} in c.conf:6",), _NO_LOW_BITS)
    for parameter, told in (
        ("backlog=2147483648", 'backlog "backlog=2147483648"'),
        ("rcvbuf=4294967296", 'rcvbuf "rcvbuf=4294967296"'),
        ("sndbuf=4194304k", 'sndbuf "sndbuf=4194304k"'),
        ("so_keepalive=2147483648", 'so_keepalive value: "2147483648"'),
        ("so_keepalive=::4294967297", 'so_keepalive value: "::4294967297"'),
    )
}
NEWER: Differences = {
    "proxy_protocol v2;": ((), "nginx 1.31.4"),
    "proxy_protocol x;": (('[emerg] invalid value "x" in c.conf:7',), "nginx 1.31.4"),
    "ssl_certificate_compression on;": ((), "nginx 1.29.1"),
    "pop3_client_buffer 4k;": ((), "mailworker alone"),
    "lisen 143;": (('[emerg] unknown directive "lisen" in c.conf:7, did you mean "listen"?',), "mailworker alone"),
    "server_name a; server_name b;": ((), "nginx's http module"),
    "server_name a .b *.c d.* '';": ((), "nginx's http module"),
    "server_name *a;": (('[emerg] server name "*a" is invalid in c.conf:7',), "nginx's http module"),
    "resolver unix:/x;": (('[emerg] invalid host in resolver "unix:/x" in c.conf:7',), "nginx cannot use it"),
    "resolver 127.0.0.1 ipv4=off;": ((), "nginx 1.23.1"),
    "resolver 127.0.0.1 ipv4=x;": (("[emerg] invalid parameter: ipv4=x in c.conf:7",), "nginx 1.23.1"),
    "resolver 127.0.0.1 ipv4=off ipv6=off;": (
        ('[emerg] "ipv4" and "ipv6" cannot both be "off" in c.conf:7',),
        "nginx 1.23.1",
    ),
}


def _table(kind: str, rows: Iterable[str], template: str = "%s") -> Iterator[Case]:
    for number, row in enumerate(rows):
        yield Case(f"{kind}-{number}-{row[:40]}", template.replace("%s", row).encode(), AUXILIARY)


def _differences(kind: str, rows: Differences, template: str) -> Iterator[Case]:
    for row, (verdict, since) in rows.items():
        yield Case(f"{kind}-{row}", template.replace("%s", row).encode(), newer=verdict, since=since)


CASES: tuple[Case, ...] = (
    *_table("words", WORDS),
    *_table("main", MAIN, "events {}\n%s"),
    *_table("events", EVENTS, "events {\n%s\n}\n"),
    *_table("server", DIRECTIVES, SERVER),
    *_table("listen", LISTENS, LISTENING),
    *_table("sections", SECTIONS),
    *(Case(f"long-{number}", text) for number, text in enumerate(LONG)),
    *(
        Case(f"globals-{number}-{text}", b"events {}", {"some.conf": b"daemon x;"}, globals_=text)
        for number, text in enumerate(GLOBALS)
    ),
    *(Case(f"include-{number}", text.encode(), files) for number, (text, files) in enumerate(INCLUDES)),
    *_differences("newer", DIFFERENCES, LISTENING),
    *_differences("newer", NEWER, SERVER),
    *_differences("engine", ENGINE, "events {}\n%s"),
    *_differences("too-large", TOO_LARGE_MAIN, "events {}\n%s"),
    *_differences("too-large", TOO_LARGE, SERVER),
    *_differences("too-large", TOO_LARGE_LISTENS, LISTENING),
)
