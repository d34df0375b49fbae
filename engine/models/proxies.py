"""Which proxy the calls to a server go through, by the usual environment variables.

`HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY` in upper or lower case name proxies; `NO_PROXY` names servers that are asked
directly, as are all on this machine.
"""

import re
import socket
from ipaddress import ip_address, ip_network
from os import environ
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

from msgspec import Struct

from engine.domain.errors import ErrorKind, SwarmError

_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
"""The schemes that are supported, and their usual ports."""
_HOST = re.compile(r"[\w.:%-]+")


class Proxy(Struct, frozen=True):
    """A proxy, and the `variable` that names it. Its text shows neither user nor password."""

    variable: str
    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = ""

    @property
    def address(self) -> str:
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def __str__(self) -> str:
        shown = self.address.replace("://", "://***@") if self.user or self.password else self.address
        return f"{shown} ({self.variable})"

    __repr__ = __str__


def proxy_for(address: str) -> Proxy | None:
    """The proxy for a server's `address`; None if it is asked directly. Raises SwarmError if no proxy can be that."""
    parts = urlsplit(address)
    host = (parts.hostname or "").rstrip(".")
    named = getproxies()
    scheme = next((scheme for scheme in (parts.scheme, "all") if named.get(scheme, "").strip()), None)
    if scheme is None or _is_here(host) or _is_excepted(host, parts.port, parts.scheme, named.get("no", "")):
        return None
    variable = next((name for name in environ if name.lower() == f"{scheme}_proxy" and environ[name]), "system proxy")
    return _parsed(variable, named[scheme].strip())


def _parsed(variable: str, text: str) -> Proxy:
    shown = re.sub(r"(://|^).*@", r"\1***@", text, flags=re.DOTALL)[:80]
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError:  # a bracket without its pair, a port that is none
        raise _refused(variable, shown) from None
    scheme = "socks5" if parts.scheme == "socks" else parts.scheme
    if scheme in ("socks4", "socks4a"):
        raise SwarmError(
            ErrorKind.PROVIDER,
            f"{variable} asks for {scheme}, which is not supported: {shown}",
            "use socks5:// or http://, if the proxy speaks that, or name the servers to ask directly in NO_PROXY",
        )
    if scheme not in _PORTS or not _HOST.fullmatch(parts.hostname or "") or port == 0 or parts.path.strip("/"):
        raise _refused(variable, shown)
    assert parts.hostname is not None
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Proxy(variable, scheme, parts.hostname, port or _PORTS[scheme], user, password)


def _refused(variable: str, shown: str) -> SwarmError:
    return SwarmError(
        ErrorKind.PROVIDER,
        f"{variable} is not the address of a proxy: '{shown}'",
        "write http://HOST:PORT or socks5://HOST:PORT (in a password, / is %2F and @ is %40), or unset it",
    )


def _is_here(host: str) -> bool:
    """Whether a host is this machine, in any spelling that the system's resolver takes for it."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        found = ip_address(host)
    except ValueError:
        try:
            found = ip_address(socket.inet_aton(host))  # 127.1, 0x7f000001
        except (OSError, ValueError):
            return False
    mapped = getattr(found, "ipv4_mapped", None) or found
    return bool(mapped.is_loopback or mapped.is_unspecified)


def _is_excepted(host: str, port: int | None, scheme: str, entries: str) -> bool:
    """Whether `NO_PROXY` names a host: by name, domain, address or network, perhaps with a port; `*` is all hosts."""
    port = port or (80 if scheme == "http" else 443)
    for entry in re.split(r"[,\s]+", entries.lower()):
        found = re.fullmatch(r"(?:\w+://)?(?:\[(.+)\](/\d+)?|([^:]+)|(.*:.*:.*?))(?::(\d+))?", entry.rstrip("/"))
        if not found or (found[5] and int(found[5]) != port):
            continue
        name = found[1] + (found[2] or "") if found[1] else found[3] or found[4]
        try:
            if ip_address(host) in ip_network(name, strict=False):
                return True
        except ValueError:
            domain = name.lstrip("*").lstrip(".")
            if name == "*" or (domain and (host == domain or host.endswith(f".{domain}"))):
                return True
    return False
