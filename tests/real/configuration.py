"""What the proxy in front of the real servers is told; `$name` is a port or a file."""

from __future__ import annotations

EVERY_SECURITY = """\
    server {
        listen 127.0.0.1:$imap;
        protocol imap;
        starttls on;
    }
    server {
        listen 127.0.0.1:$imaps ssl;
        protocol imap;
    }
    server {
        listen 127.0.0.1:$pop3;
        protocol pop3;
        starttls on;
    }
    server {
        listen 127.0.0.1:$pop3s ssl;
        protocol pop3;
    }
    server {
        listen 127.0.0.1:$smtp;
        protocol smtp;
        starttls on;
    }
    server {
        listen 127.0.0.1:$smtps ssl;
        protocol smtp;
    }
"""
"""A server for each protocol in clear, which knows STARTTLS, and one over TLS."""

CONFIGURATION = (
    """\
worker_processes 2;
error_log error.log info;
pid proxy.pid;

events {
    worker_connections 512;
}

mail {
    server_name proxy.example.test;
    auth_http 127.0.0.1:$auth_service/;
    proxy_pass_error_message on;

    ssl_certificate $rsa_certificate;
    ssl_certificate_key $rsa_key;
    ssl_certificate $ecdsa_certificate;
    ssl_certificate_key $ecdsa_key;
    ssl_protocols TLSv1.2 TLSv1.3;

    imap_auth plain login cram-md5;
    imap_capabilities IMAP4rev1 LITERAL+ UIDPLUS IDLE;
    pop3_auth plain apop cram-md5;
    smtp_auth plain login cram-md5;
    smtp_capabilities PIPELINING 8BITMIME "SIZE 10240000";

"""
    + EVERY_SECURITY
    + """\
    # Clients believe what is said before the login, and not all backends can do LITERAL+.
    server {
        listen 127.0.0.1:$imaps_without_literal_plus ssl;
        protocol imap;
        imap_capabilities IMAP4rev1 UIDPLUS IDLE;
    }

    # The backend relays for nobody who has not logged in.
    server {
        listen 127.0.0.1:$submission;
        protocol smtp;
        starttls only;
        auth_http 127.0.0.1:$auth_service/submission;
    }
    server {
        listen 127.0.0.1:$submission_with_auth;
        protocol smtp;
        auth_http 127.0.0.1:$auth_service/submission;
        xclient off;
        proxy_smtp_auth on;
    }
    server {
        listen 127.0.0.1:$smtp_without_login;
        protocol smtp;
        smtp_auth none;
    }

    # Not all backends know XCLIENT.
    server {
        listen 127.0.0.1:$smtp_without_xclient;
        protocol smtp;
        starttls on;
        xclient off;
    }
    server {
        listen 127.0.0.1:$smtp_without_login_and_xclient;
        protocol smtp;
        auth_http 127.0.0.1:$auth_service/without_xclient;
        smtp_auth none;
        xclient off;
    }

    # The backend's errors stay behind the proxy.
    server {
        listen 127.0.0.1:$imap_discreet;
        protocol imap;
        proxy_pass_error_message off;
    }

    # The backend is told the client's address by a PROXY protocol header.
    server {
        listen 127.0.0.1:$imap_haproxy;
        protocol imap;
        auth_http 127.0.0.1:$auth_service/haproxy;
        proxy_protocol on;
    }
    server {
        listen 127.0.0.1:$pop3_haproxy;
        protocol pop3;
        auth_http 127.0.0.1:$auth_service/haproxy;
        proxy_protocol on;
    }
    server {
        listen 127.0.0.1:$smtp_haproxy;
        protocol smtp;
        auth_http 127.0.0.1:$auth_service/haproxy;
        xclient off;
        proxy_protocol on;
    }

    # The proxy is told the client's address by one that stands before it, and tells the backend.
    set_real_ip_from 127.0.0.0/8;
    server {
        listen 127.0.0.1:$imap_behind_haproxy proxy_protocol;
        protocol imap;
        auth_http 127.0.0.1:$auth_service/haproxy;
        proxy_protocol on;
    }
    server {
        listen 127.0.0.1:$pop3_behind_haproxy proxy_protocol;
        protocol pop3;
        auth_http 127.0.0.1:$auth_service/haproxy;
        proxy_protocol on;
    }
    server {
        listen 127.0.0.1:$smtp_behind_haproxy proxy_protocol;
        protocol smtp;
        auth_http 127.0.0.1:$auth_service/haproxy;
        xclient off;
        proxy_protocol on;
    }
}
"""
)
