"""`proxy_pass`: the backend of logins whose source names none (nginx's stream proxy module).

Passwords are sent there, so its value must not contain text that a client has chosen.
"""

from __future__ import annotations

from dataclasses import dataclass

from mailworker.config.addresses import BadAddress, parse_url
from mailworker.config.rows import Value
from mailworker.config.slots import once
from mailworker.config.templates import read_template
from mailworker.config.tree import Parser
from mailworker.errors import ConfigError
from mailworker.model import Address, BackendName, UnixAddress, host_name
from mailworker.variables.template import Template
from mailworker.variables.variables import Variables


@dataclass(frozen=True, slots=True)
class ProxyPass:
    """`addresses` are those of the value, looked up at the start; a value with variables has none."""

    template: Template
    addresses: tuple[Address, ...] = ()


def _take(parser: Parser) -> ProxyPass:
    word = parser.words[1]
    template = read_template(parser, word)
    if template.constant is None:
        return ProxyPass(template)
    try:
        url = parse_url(word, parser.resolve)
        _check_port(url.port, url.addresses)
    except BadAddress as reason:
        raise parser.error(f'{reason} in upstream "{word}"') from reason
    return ProxyPass(template, url.addresses)


PROXY_PASS = Value(once(_take), spell=lambda proxy_pass: str(proxy_pass.template))


def read_backend(text: str) -> Address | BackendName:
    """The backend in the value of a variable: an address, or a name that must be resolved. Raises BadAddress."""
    names: list[str] = []

    def remember(host: str) -> list[str]:
        names.append(host)
        return ["0.0.0.0"]

    url = parse_url(text, remember)
    _check_port(url.port, url.addresses)
    if not names:
        return url.addresses[0]
    name = host_name(names[0].encode(errors="surrogateescape"))
    if name is None:
        raise BadAddress("invalid host")
    return BackendName(name, url.port)


def _check_port(port: int, addresses: tuple[Address, ...]) -> None:
    if not port and not isinstance(addresses[0], UnixAddress):
        raise BadAddress("no port")


def check(proxy_pass: ProxyPass, variables: Variables, *, resolves: bool) -> None:
    """Raise ConfigError for a backend that clients could choose, or that is invalid.

    `resolves`: the server has a `resolver`.
    """
    template = proxy_pass.template
    variables.check(template)
    name = variables.chosen_by_client(template)
    if name is not None:
        message = f'variable "{name}" in "proxy_pass" may contain text of clients: they could choose where passwords go'
        raise ConfigError(message, template.where)
    if template.only is not None:
        for text in sorted(variables.possible(template.only)):
            _check_value(text.decode(errors="surrogateescape"), template.where, resolves)


def _check_value(text: str, where: str | None, resolves: bool) -> None:
    if not text:
        return  # empty: there is no backend
    try:
        backend = read_backend(text)
    except BadAddress as reason:
        raise ConfigError(f'{reason} in upstream "{text}"', where) from reason
    if isinstance(backend, BackendName) and not resolves:
        raise ConfigError(f"no resolver defined to resolve {backend.name}", where)
