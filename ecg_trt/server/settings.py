"""Options of the server, checked once at the door."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, fields

from ecg_trt.errors import OptionError

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Limits of the server, and who may use it.

    Attributes:
        host: address that it listens on.
        port: of this address.
        token: bearer token that requests must carry; none if empty.
        names: further host names under which requests may come.
        max_upload_mb: largest request, 10^6 bytes.
        max_pixels: most pixels of a picture; requests may ask for fewer.
        max_pages: most pages that are read of one file.
        waiting: uploads and pages that may wait to be read; more are answered with 503.
        rate: requests with a body that a client may make in a minute; more are answered with 429.
        timeout_s: longest time that the reading of a page may take.
        keep_s: time after which a record that nobody asks for is forgotten.
        max_records: most records that are kept; the one that was asked for longest ago makes room.
        processes: that decode and digitize.

    Raises:
        OptionError: a limit that is not positive, or an address beyond loopback without a token.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str = ""
    names: tuple[str, ...] = ()
    max_upload_mb: float = 64.0
    max_pixels: int = 50_000_000
    max_pages: int = 50
    waiting: int = 64
    rate: float = 240.0
    timeout_s: float = 120.0
    keep_s: float = 3600.0
    max_records: int = 100
    processes: int = 1

    def __post_init__(self) -> None:
        """Check every value."""
        for limit in fields(self):
            value = getattr(self, limit.name)
            if isinstance(value, (int, float)) and not value > 0:
                raise OptionError(f"{limit.name} is out of range", got=repr(value), expected="more than 0",
                                  hint=f"Leave {limit.name} out to get the default.")  # fmt: skip
        if not self.is_loopback and not self.token:
            raise OptionError(
                "The server would be open to everyone on the network",
                got=f"host {self.host} without a token",
                expected="a token, or a loopback address such as 127.0.0.1",
                hint="Set a token, or leave host out.",
            )

    @property
    def is_loopback(self) -> bool:
        """True if only this machine reaches the address."""
        return self.host == "localhost" or _is_loopback(self.host)

    def allows_host(self, name: str) -> bool:
        """Tell if a request may come under this host name.

        A page of another site can make its own name point here (DNS rebinding), but cannot make a browser send an
        address in its place. So beyond loopback every address will do, and every name must be given.
        """
        name = name.lower()
        if name in (*self.names, self.host, "localhost") or _is_loopback(name):
            return True
        return not self.is_loopback and _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    return _is_address(name) and ipaddress.ip_address(name.strip("[]")).is_loopback
