"""A proxy that speaks TLS to its backends, at once or by STARTTLS."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from string import Template

from tests.real.configuration import EVERY_SECURITY
from tests.support.daemon import wait_until

PROTOCOLS = ("imap", "pop3", "smtp")

# What differs from the other servers, which trust the authority of the backends and ask for them by name; each protocol
# has a server of each, PROTOCOL_VARIANT.
VARIANTS = {
    "tls12": "proxy_ssl_protocols TLSv1.2;",
    "tls13": "proxy_ssl_protocols TLSv1.3;",
    "no_reuse": "proxy_ssl_session_reuse off;",
    "wrong_name": "proxy_ssl_name other.example.test;",
    "untrusted": "proxy_ssl_trusted_certificate $stranger;",
    "revoked": "proxy_ssl_crl $revocation_list;",
    "outdated": "proxy_ssl_protocols TLSv1.1; proxy_ssl_ciphers DEFAULT:@SECLEVEL=0;",
    "unverified": "proxy_ssl_name other.example.test; proxy_ssl_verify off;",
}
_VARIANT = Template("""
    server {
        listen 127.0.0.1:$${${protocol}_$variant};
        protocol $protocol;
        $directives
    }
""")

CONFIGURATION = (
    """\
worker_processes 1;
worker_sandbox $worker_sandbox;
error_log error.log info;
pid proxy.pid;

events {
    worker_connections 512;
}

mail {
    server_name proxy.example.test;
    auth_http 127.0.0.1:$auth_service/$proxy_ssl;
    proxy_pass_error_message on;

    ssl_certificate $certificate;
    ssl_certificate_key $key;

    proxy_ssl $proxy_ssl;
    proxy_ssl_name $backend_name;
    proxy_ssl_server_name on;
    proxy_ssl_verify on;
    proxy_ssl_trusted_certificate $authority;

    imap_capabilities IMAP4rev1 LITERAL+ UIDPLUS IDLE;
    smtp_capabilities PIPELINING 8BITMIME "SIZE 10240000";

"""
    + EVERY_SECURITY
    + """\

    # The backend relays for nobody who has not logged in.
    server {
        listen 127.0.0.1:$submission;
        protocol smtp;
        auth_http 127.0.0.1:$auth_service/$proxy_ssl/submission;
    }
    server {
        listen 127.0.0.1:$submission_with_auth;
        protocol smtp;
        auth_http 127.0.0.1:$auth_service/$proxy_ssl/submission;
        xclient off;
        proxy_smtp_auth on;
    }

    # Dovecot has two certificates.
    server {
        listen 127.0.0.1:$imap_by_address;
        protocol imap;
        proxy_ssl_name "";
    }
    server {
        listen 127.0.0.1:$imap_without_sni;
        protocol imap;
        proxy_ssl_server_name off;
    }

    # This Dovecot demands one.
    server {
        listen 127.0.0.1:$imap_certified;
        protocol imap;
        auth_http 127.0.0.1:$auth_service/$proxy_ssl/demanding;
        proxy_ssl_certificate $client_certificate;
        proxy_ssl_certificate_key $client_key;
    }
    server {
        listen 127.0.0.1:$imap_uncertified;
        protocol imap;
        auth_http 127.0.0.1:$auth_service/$proxy_ssl/demanding;
    }
"""
    + "".join(
        _VARIANT.substitute(protocol=protocol, variant=variant, directives=directives)
        for protocol in PROTOCOLS
        for variant, directives in VARIANTS.items()
    )
    + "}\n"
)


@dataclass(frozen=True, slots=True)
class Mode:
    """`proxy_ssl` and `worker_sandbox`."""

    proxy_ssl: str
    sandbox: str

    def __str__(self) -> str:
        return f"{self.proxy_ssl}{'-fenced' if self.sandbox == 'on' else ''}"


MODES = [Mode(proxy_ssl, sandbox) for sandbox in ("off", "on") for proxy_ssl in ("on", "starttls")]


class Tail:
    """What is written into a log from now on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = path.stat().st_size

    @property
    def text(self) -> str:
        return self._path.read_bytes()[self._start :].decode(errors="replace")

    def wait_for(self, pattern: str) -> str:
        """The first line with a match for `pattern`."""
        line = re.compile(f"^.*{pattern}.*$", re.MULTILINE)
        wait_until(lambda: line.search(self.text) is not None, f"{pattern!r} in {self._path}")
        found = line.search(self.text)
        assert found is not None
        return found[0]
