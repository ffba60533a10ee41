"""One configuration text for both proxies: a server block for each variant that a case may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

HEAD = """\
worker_processes 1;
error_log error.log info;
pid proxy.pid;

events {
    worker_connections 1024;
}

mail {
    server_name proxy.test;
    auth_http 127.0.0.1:$auth/login;

    ssl_certificate $certificate;
    ssl_certificate_key $key;
    ssl_protocols TLSv1.2 TLSv1.3;
"""

EVERY_METHOD = {
    "imap": "imap_auth plain login cram-md5 external;",
    "pop3": "pop3_auth plain apop cram-md5 external;",
    "smtp": "smtp_auth plain login cram-md5 external;",
}


@dataclass(frozen=True, slots=True)
class Server:
    """A server block: its directives, the parameters of its `listen`, and whether it speaks first.

    `host` is the address without the port; "unix:" is a socket of its own.
    """

    directives: str = ""
    listen: str = ""
    greets: bool = True
    host: str = "127.0.0.1"


def _of_every_protocol(variant: str, server: Server) -> dict[str, Server]:
    return {f"{protocol}-{variant}": server for protocol in EVERY_METHOD}


SERVERS: dict[str, Server] = {
    "imap": Server(),
    "pop3": Server(),
    "smtp": Server("smtp_capabilities PIPELINING 'SIZE 1000';"),
    **{f"{protocol}-every": Server(methods) for protocol, methods in EVERY_METHOD.items()},
    **_of_every_protocol("starttls", Server("starttls on;")),
    **{f"{protocol}-only": Server(f"starttls only; {methods}") for protocol, methods in EVERY_METHOD.items()},
    **_of_every_protocol("tls", Server(listen="ssl")),
    **_of_every_protocol("tlsboth", Server("starttls on;", listen="ssl")),
    **_of_every_protocol("strict", Server("max_errors 2;")),
    **_of_every_protocol("hasty", Server("timeout 1s; auth_http_timeout 1s; starttls on;")),
    **_of_every_protocol("noauth", Server("auth_http 127.0.0.1:$closed;")),
    **_of_every_protocol("frank", Server("proxy_pass_error_message on;")),
    **_of_every_protocol("header", Server("auth_http_header X-Key 'a key'; auth_http_header X-Two 2;")),
    **_of_every_protocol("query", Server("auth_http http://127.0.0.1:$auth?a=b;")),
    **_of_every_protocol("narrow", Server("proxy_buffer 64;")),
    **_of_every_protocol("haproxy", Server("proxy_protocol on;")),
    **_of_every_protocol("behind", Server(listen="proxy_protocol", greets=False)),
    **_of_every_protocol(
        "trusting",
        Server("set_real_ip_from 127.0.0.0/8; proxy_protocol on;", listen="proxy_protocol", greets=False),
    ),
    **_of_every_protocol("zero", Server("max_errors 0;")),
    **_of_every_protocol("instant", Server("timeout 0;")),
    **_of_every_protocol("hastytls", Server("timeout 1s;", listen="ssl")),
    **_of_every_protocol("hastybehind", Server("timeout 1s;", listen="proxy_protocol", greets=False)),
    **_of_every_protocol("unixauth", Server("auth_http unix:/nonexistent/auth:/login;")),
    **_of_every_protocol("v6auth", Server("auth_http [::1]:$closed/login;")),
    **_of_every_protocol("root", Server("auth_http http://127.0.0.1:$auth;")),
    **_of_every_protocol("named", Server("auth_http localhost:$auth/a?b;")),
    "smtp-nameless": Server("server_name '';"),
    "pop3-lower": Server("pop3_capabilities user TOP; starttls only;"),
    "imap-small": Server("imap_client_buffer 128;"),
    "imap-capable": Server("imap_capabilities IMAP4rev1 'X Y' IDLE; imap_auth login cram-md5;"),
    "imap-barred": Server("imap_capabilities IMAP4rev1 LOGINDISABLED; starttls on;"),
    "imap-onlyir": Server("imap_capabilities IMAP4rev1 SASL-IR; starttls only;"),
    "imap-external": Server("imap_auth external;"),
    "pop3-capable": Server("pop3_capabilities TOP UIDL 'EXPIRE 0'; pop3_auth cram-md5;"),
    "pop3-apop": Server("pop3_auth apop; starttls on;"),
    "pop3-barest": Server("pop3_auth apop; starttls only;"),
    "smtp-bare": Server("smtp_auth external;"),
    "smtp-small": Server("smtp_client_buffer 128;"),
    "smtp-none": Server("smtp_auth plain none;"),
    "smtp-noneonly": Server("smtp_auth none; starttls only;"),
    "smtp-nonestarttls": Server("smtp_auth none; starttls on;"),
    "smtp-direct": Server("xclient off;"),
    "smtp-directnone": Server("xclient off; smtp_auth none;"),
    "smtp-login": Server("proxy_smtp_auth on;"),
    "smtp-directlogin": Server(f"xclient off; proxy_smtp_auth on; {EVERY_METHOD['smtp']}"),
    "smtp-delay": Server("smtp_greeting_delay 300ms;", greets=False),
}


def configuration(servers: Mapping[str, Server] = SERVERS) -> str:
    """The text, in which `$NAME` with the underscored name of a server is its port, or the path of its socket."""
    return HEAD + "".join(_block(name, server) for name, server in servers.items()) + "}\n"


def port_name(server: str) -> str:
    return server.replace("-", "_")


def _block(name: str, server: Server) -> str:
    separator = "" if server.host == "unix:" else ":"
    listen = f"listen {server.host}{separator}${port_name(name)} {server.listen}".rstrip()
    return f"    server {{ {listen}; protocol {name.partition('-')[0]}; {server.directives} }}\n"
