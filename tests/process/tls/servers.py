"""Configurations with TLS for the real binary."""

from __future__ import annotations

import signal

from tests.process.conftest import Install
from tests.support.certificates import Certificate
from tests.support.process import Mailworker


def key_pair(certificate: Certificate) -> str:
    """The directives that name a certificate and its key."""
    return f"ssl_certificate {certificate.certificate}; ssl_certificate_key {certificate.key};"


def tls_server(port: int, directives: str) -> str:
    """An IMAP server that speaks TLS from the start."""
    return f"server {{ listen 127.0.0.1:{port} ssl; protocol imap; {directives} }}"


def starttls_server(port: int, protocol: str, directives: str) -> str:
    """A server whose clients may begin TLS."""
    return f"server {{ listen 127.0.0.1:{port}; protocol {protocol}; starttls on; {directives} }}"


def configuration(*servers: str, workers: int = 1, mail: str = "") -> str:
    """A whole configuration; `mail` are directives of that block."""
    blocks = "\n".join(servers)
    return f"""
        error_log logs/error.log info;
        worker_processes {workers};
        events {{ }}
        mail {{
            server_name mail.example;
            auth_http 127.0.0.1:9/;
            {mail}
            {blocks}
        }}
    """


def start(install: Install, text: str, workers: int = 1) -> Mailworker:
    """Start and wait for the workers."""
    mailworker = install(text)
    mailworker.start()
    mailworker.await_workers(workers)
    return mailworker


def reload(mailworker: Mailworker, workers: int = 1) -> None:
    """HUP, and wait until no worker of before is left."""
    old = [worker.pid for worker in mailworker.workers()]
    mailworker.signal(signal.SIGHUP)
    mailworker.await_workers(workers, without=old)
