"""What the configuration asks of this machine: files, certificates, addresses. The thin edge."""

import errno
import grp
import importlib.util
import os
import pwd
import ssl
import stat
import sys
import time
from pathlib import Path
from typing import Final, Protocol

import ifaddr

from mesos_dns.certificates import Dates, KeyPair
from mesos_dns.config.addresses import Unfit, ip
from mesos_dns.config.json import MAX_CONFIG_OCTETS
from mesos_dns.config.values import Account
from mesos_dns.quoting import quoted
from mesos_dns.tls import PairError, examined, refuse_password


class Host(Protocol):
    """The machine, as far as a configuration depends on it. Paths may be relative."""

    def read(self, path: str) -> bytes:
        """Read a whole file of at most `MAX_CONFIG_OCTETS`; "-" is standard input, always as it was at first. Raises `OSError`."""

    def is_open(self, path: str) -> bool:
        """Say whether every user of this machine may read the file, as far as its mode tells."""

    def addresses(self) -> frozenset[str]:
        """List the addresses of all interfaces, in normal form."""

    def check_trust(self, ca_file: str) -> None:
        """Raise `Unfit` if `ca_file` cannot be read or holds no certificate in PEM form."""

    def check_pair(self, cert_file: str, key_file: str) -> None:
        """Raise `Unfit` if the two are not a certificate and its unencrypted key in PEM form."""

    def examine(self, pair: KeyPair) -> Dates:
        """Tell from when until when this server's certificate is valid. Raise `Unfit` if the pair cannot be used."""

    def time(self) -> float:
        """Tell the Unix time."""

    def can_sign(self) -> bool:
        """Say whether the optional packages that sign in a service account are installed."""

    def account(self, user: str, group: str) -> Account:
        """Find the user and the group, each by name or number; its own group if `group` is empty. Raises `Unfit`."""


class ThisHost:
    """The real one."""

    def __init__(self) -> None:
        self._input: bytes | None = None

    def __repr__(self) -> str:
        return "ThisHost()"

    def read(self, path: str) -> bytes:
        """See `Host`."""
        if path == "-":
            if self._input is None:
                self._input = self._read_input()
            return self._input
        try:
            with Path(path).open("rb") as file:
                data = file.read(MAX_CONFIG_OCTETS + 1)
        except ValueError as error:  # a NUL in the path
            raise OSError(errno.EINVAL, str(error)) from None
        if len(data) > MAX_CONFIG_OCTETS:
            raise OSError(errno.EFBIG, f"File is larger than {MAX_CONFIG_OCTETS} octets")
        return data

    def _read_input(self) -> bytes:
        if sys.stdin is None:
            raise OSError(errno.EBADF, "it is closed")
        # What is too large is refused by who decodes it.
        return sys.stdin.buffer.read(MAX_CONFIG_OCTETS + 1)

    def is_open(self, path: str) -> bool:
        """See `Host`."""
        try:
            return bool(Path(path).stat().st_mode & stat.S_IROTH)
        except (OSError, ValueError):
            return False

    def addresses(self) -> frozenset[str]:
        """See `Host`."""
        found = set()
        for adapter in ifaddr.get_adapters():
            for each in adapter.ips:
                text = each.ip if isinstance(each.ip, str) else each.ip[0]
                found.add(ip(text.partition("%")[0]) or text)
        return frozenset(found)

    def check_trust(self, ca_file: str) -> None:
        """See `Host`."""
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=ca_file)
        except ssl.SSLError:
            raise Unfit("holds no certificate in PEM form") from None
        except (OSError, ValueError) as error:
            raise Unfit(f"cannot be read: {reason(error)}") from None

    def check_pair(self, cert_file: str, key_file: str) -> None:
        """See `Host`."""
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert_file, key_file, password=refuse_password)
        except ssl.SSLError as error:
            detail = f" ({error.reason})" if error.reason else ""
            raise Unfit(f"and KeyFile are not a certificate and its private key in PEM form{detail}") from None
        except (OSError, ValueError) as error:
            raise Unfit(f"and KeyFile cannot be loaded: {reason(error)}") from None

    def examine(self, pair: KeyPair) -> Dates:
        """See `Host`."""
        try:
            return examined(pair)
        except PairError as error:
            raise Unfit(str(error)) from None

    def time(self) -> float:
        """See `Host`."""
        return time.time()

    def can_sign(self) -> bool:
        """See `Host`."""
        return all(importlib.util.find_spec(name) is not None for name in ("jwt", "cryptography"))

    def account(self, user: str, group: str) -> Account:
        """See `Host`."""
        try:
            found = pwd.getpwuid(int(user)) if _is_number(user) else pwd.getpwnam(user)
        except (KeyError, ValueError, OverflowError):  # A name with a NUL, or that is no text.
            found = None
        if found is None and not (_is_number(user) and group):
            raise Unfit(f"{quoted(user)} is no user of this machine; make it, or give numbers for both User and Group")
        uid = int(user) if found is None else found.pw_uid
        try:
            gid = int(group) if _is_number(group) else grp.getgrnam(group).gr_gid if group else -1
        except (KeyError, ValueError):
            raise Unfit(f"cannot be had with Group {quoted(group)}, which is no group of this machine") from None
        if found is None:
            return Account(uid, gid, ())
        gid = found.pw_gid if gid < 0 else gid
        return Account(uid, gid, tuple(sorted({gid, *os.getgrouplist(found.pw_name, gid)})))


#: Numbers of users and groups have 32 bits, and the highest means "none".
_HIGHEST_ID: Final = 2**32 - 2


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text) <= _HIGHEST_ID


def reason(error: Exception) -> str:
    """Put `error` in a few words, without a path."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
