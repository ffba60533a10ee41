"""The backend that `proxy_pass` names, for logins whose source names none."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from mailworker.config.addresses import BadAddress
from mailworker.config.proxy_pass import ProxyPass, read_backend
from mailworker.errors import Party, ProtocolError, escape
from mailworker.model import Address, BackendName, InetAddress
from mailworker.variables.facts import Facts
from mailworker.variables.variables import Variables

Choose = Callable[[Facts], Address | BackendName]
"""Gives the backend for a session. Raises ProtocolError if the value of a variable is no backend."""


def configured_backend(proxy_pass: ProxyPass, variables: Variables, *, names: bool) -> Choose:
    """The function that chooses the backend; `names` tells whether there is a resolver for backends' names."""
    addresses = proxy_pass.addresses
    if addresses:
        known = addresses[0] if len(addresses) == 1 else _several(proxy_pass)
        return lambda _facts: known
    render = variables.bind(proxy_pass.template)

    def choose(facts: Facts) -> Address | BackendName:
        text = render(facts)
        backend = _read(text)
        if isinstance(backend, str):
            raise ProtocolError(Party.BACKEND, f'{backend} in upstream "{escape(text)}"')
        if isinstance(backend, BackendName) and not names:
            raise ProtocolError(Party.BACKEND, f"no resolver defined to resolve {backend.name}")
        return backend

    return choose


def _several(proxy_pass: ProxyPass) -> BackendName:
    """The backend of a host that had several addresses when the configuration was read."""
    addresses = tuple(address for address in proxy_pass.addresses if isinstance(address, InetAddress))
    host = (proxy_pass.template.constant or b"").rpartition(b":")[0]
    return BackendName(host.decode(errors="surrogateescape"), addresses[0].port, addresses)


@lru_cache(maxsize=4096)  # there are few backends and many logins
def _read(text: bytes) -> Address | BackendName | str:
    """The backend, or an error text."""
    try:
        return read_backend(text.decode(errors="surrogateescape"))
    except BadAddress as reason:
        return str(reason)
