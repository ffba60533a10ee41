"""Any bytes are a configuration or a ConfigError, and nothing else is ever raised."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mailworker.config.load import load
from mailworker.config.settings import Settings
from mailworker.errors import ConfigError
from mailworker.mail.protocols.table import PROTOCOLS
from tests.config.conftest import resolve

_NAMES = """
    events mail server listen protocol timeout server_name resolver error_log auth_http auth_http_header ssl starttls
    ssl_certificate ssl_session_cache ssl_protocols imap_auth smtp_capabilities proxy_buffer env user set_real_ip_from
    worker_processes worker_cpu_affinity worker_connections use include pid ssl_password_file working_directory
    proxy_ssl proxy_ssl_certificate proxy_ssl_certificate_key proxy_ssl_protocols proxy_ssl_verify
    proxy_ssl_conf_command
"""
_VALUES = """
    on off auto 25 1-9 [::1]:143 127.0.0.1:110 unix:/a: http://h/ localhost shared:a:1m 10k 1m30s ssl bind backlog=1
    so_keepalive=:: stderr info syslog:server=127.0.0.1,tag=x plain imap smtp * [a-z]*/x \\ ' " $ ${ \0 \xff # )
    starttls
"""

_directives = st.tuples(
    st.sampled_from(_NAMES.split()),
    st.lists(st.sampled_from(_VALUES.split()) | st.text(max_size=5), max_size=4),
    st.sampled_from(";{"),
).map(lambda parts: " ".join([parts[0], *parts[1]]) + parts[2])
_texts = st.lists(_directives | st.sampled_from(["}", "events {}", "mail {", "server {", "\n"]), max_size=20).map(
    lambda lines: " ".join(lines).encode(errors="surrogatepass")
)


def load_bytes(data: bytes) -> Settings | ConfigError:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c"
        path.write_bytes(data)
        try:
            return load(path, protocols=PROTOCOLS, prefix=Path(folder), resolve=resolve)
        except ConfigError as error:
            return error


@given(st.binary(max_size=300))
def test_random_bytes(data: bytes) -> None:
    assert isinstance(load_bytes(data), Settings | ConfigError)


@settings(max_examples=300)
@given(_texts)
def test_random_directives(data: bytes) -> None:
    assert isinstance(load_bytes(data), Settings | ConfigError)
