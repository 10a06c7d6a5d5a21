"""The recordings of the Go program: where they are, how they are read, what they say about the setting.

Nothing here knows a name or an address: other recordings of the same form (`MESOS_DNS_GOLDEN`) have
other states, addresses and variants.
"""

import gzip
import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("MESOS_DNS_GOLDEN") or Path(__file__).parent.parent / "fixtures" / "golden")

Item = dict[str, Any]
#: name -> values, for each of "As", "AAAAs", "SRVs".
Records = dict[str, dict[str, list[str]]]


def load(folder: Path, name: str) -> Any:
    """The JSON of `name` (plain or gzipped) in `folder`, None if there is none."""
    plain = folder / name
    if plain.exists():
        return json.loads(plain.read_bytes())
    packed = folder / f"{name}.gz"
    return json.loads(gzip.decompress(packed.read_bytes())) if packed.exists() else None


def case_insensitive(config: Mapping[str, Any]) -> dict[str, Any]:
    """Keys in lower case, as the Go program matches them."""
    return {key.lower(): value for key, value in config.items()}


@dataclass(frozen=True)
class Recording:
    """One state served with one configuration: a folder `STATE-variant`."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def state_name(self) -> str:
        return self.name.partition("-")[0]

    def read(self, name: str) -> Any:
        return load(self.folder, name)

    @cached_property
    def config(self) -> dict[str, Any]:
        return case_insensitive(self.read("config.json"))

    @cached_property
    def effective(self) -> dict[str, Any]:
        """`/v1/config` of the Go program: every key with the value in effect."""
        shown: dict[str, Any] = self.read("config_http.json")
        return shown

    @cached_property
    def state_text(self) -> bytes:
        return gzip.decompress((self.folder.parent / "states" / f"{self.state_name}.json.gz").read_bytes())

    @cached_property
    def hosts_text(self) -> str:
        return (self.folder.parent / "states" / f"{self.state_name}.hosts").read_text()

    @property
    def domain(self) -> str:
        """With the trailing dot, lower case."""
        return str(self.effective["Domain"]).lower() + "."

    @cached_property
    def leader(self) -> tuple[str, int]:
        """Address and port of the leading master, from the state's `leader` text `id@ip:port`."""
        return split_endpoint(str(json.loads(self.state_text)["leader"]).partition("@")[2])

    @cached_property
    def masters(self) -> list[tuple[str, int]]:
        return [split_endpoint(text) for text in self.effective["Masters"] or []]

    @property
    def silent_followers(self) -> list[tuple[str, int]]:
        """Listed masters that must answer as non-leading ones: needed when the leader is not listed.

        In the recordings the first of the list is dead, so that the list is really walked.
        """
        if self.leader in self.masters:
            return []
        return self.masters[1:] or self.masters

    @cached_property
    def siblings(self) -> list["Recording"]:
        return [other for other in recordings() if other.state_name == self.state_name and other.name != self.name]

    @cached_property
    def records(self) -> Records:
        """What `/v1/axfr` gave; without enumeration, what a sibling gave whose records are the same."""
        shown = self.read("axfr.json")
        if shown is not None:
            records: Records = shown["Records"]
            return records
        for other in self.siblings:
            if other.read("axfr.json") is not None and all(
                other.effective[key] == self.effective[key] for key in RECORD_KEYS
            ):
                return other.records
        raise LookupError(f"{self.name} has no axfr.json and no sibling with the same records")

    @cached_property
    def extra_addresses(self) -> list[str]:
        """Addresses that the machine had: they stand at this server's own name if it listens everywhere."""
        listeners = [self.effective["Listener"], self.effective["HTTPListener"]]
        found = [self.leader[0], *(text for text in listeners if text not in ("0.0.0.0", "::"))]
        if self.effective["Listener"] == "0.0.0.0":
            own = str(self.effective["SOAMname"])
            found += [*self.records["As"].get(own, []), *self.records["AAAAs"].get(own, [])]
        # A framework called like the server had put its own address there, too.
        strangers = [text for text in found if f"@{text}:".encode() in self.state_text]
        return [
            text
            for text in dict.fromkeys(found)
            if text not in strangers and not ipaddress.ip_address(text).is_loopback
        ]


#: Keys of the configuration that decide about records.
RECORD_KEYS = ("Domain", "IPSources", "EnforceRFC952", "Masters", "SOAMname", "Listener")


def split_endpoint(text: str) -> tuple[str, int]:
    """`1.2.3.4:5` or `[::1]:5`."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


@cache
def recordings() -> tuple[Recording, ...]:
    return tuple(Recording(path.parent) for path in sorted(FOLDER.glob("*/config.json")))


def recording(name: str) -> Recording:
    return next(one for one in recordings() if one.name == name)
