"""The client's address: the peer's own, or the one in the headers of a proxy in TRUSTED_PROXIES.

Everything that counts, stores or logs an address calls `client_address`; nothing else reads the headers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

log = logging.getLogger(__name__)

Address = IPv4Address | IPv6Address
FOR, PROTO = "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO"
FORWARDED = (FOR, PROTO, "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PORT", "HTTP_FORWARDED")
LOOPBACK = ip_address("127.0.0.1")
MOST_REPORTED = 10  # peers per process whose headers were ignored: a caller cannot fill the log
_reported: set[str] = set()


def client_address(request: HttpRequest) -> str | None:
    """Return the address of the client that made a request, as text in its shortest form.

    Behind trusted proxies it is the last address in X-Forwarded-For that is not itself a trusted proxy: the
    client wrote what is before it, which proves nothing. None if there is no address at all, on a Unix
    socket.
    """
    peer = read_address(request.META.get("REMOTE_ADDR", ""))
    if not is_trusted_proxy(request):
        return str(peer) if peer else None
    client = peer
    for hop in reversed(request.META.get(FOR, "").split(",")):
        address = read_address(hop)
        if address is None:
            break  # not written by a trusted proxy: use the last address that one vouched for
        client = address
        if not _is_trusted(address):
            break
    return str(client) if client else None


def is_trusted_proxy(request: HttpRequest) -> bool:
    """Return whether the peer of a request is a proxy whose headers are trusted.

    A Unix socket counts as the loopback address.
    """
    text = request.META.get("REMOTE_ADDR", "")
    peer = read_address(text) if text else LOOPBACK
    return peer is not None and _is_trusted(peer)


def read_address(text: str) -> Address | None:
    """Return an address, with or without a port; an IPv4 address mapped into IPv6 as the IPv4 one."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])  # a zone id means something on one machine only
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_trusted(address: Address) -> bool:
    return any(address in network for network in settings.TRUSTED_PROXIES)


def network_of(address: str) -> str:
    """Return what limits count an address as: itself, or the /64 of an IPv6 one, which is one customer's."""
    read = read_address(address)
    if read is None or read.version == 4:
        return str(read or address)
    return str(ip_network((read, 64), strict=False).network_address)


def is_office(request: HttpRequest) -> bool:
    """Return whether a request comes from an address in OFFICE_ADDRESSES."""
    client = read_address(client_address(request) or "")
    return client is not None and any(client in network for network in settings.OFFICE_ADDRESSES)


class TrustedProxies:
    """Removes the headers that only a trusted proxy may set, so that no later code can trust others.

    If X-Forwarded-Proto has several values, all must be https: Django reads the first, which the client
    wrote.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not is_trusted_proxy(request):
            ignored = [name for name in FORWARDED if request.META.pop(name, None) is not None]
            if ignored:
                _report(request.META.get("REMOTE_ADDR", ""))
        elif PROTO in request.META:
            values = {value.strip().lower() for value in request.META[PROTO].split(",")}
            request.META[PROTO] = "https" if values == {"https"} else "http"
        return self.get_response(request)


def _report(peer: str) -> None:
    if peer in _reported or len(_reported) >= MOST_REPORTED:
        return
    _reported.add(peer)
    log.warning(
        "forwarding headers from %s were ignored; if that is your proxy, name it in TRUSTED_PROXIES", peer
    )
