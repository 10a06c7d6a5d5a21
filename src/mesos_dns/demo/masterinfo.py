"""What masters write into ZooKeeper: the data of their nodes in each of the forms that Mesos has had."""

import json
from enum import Enum

from mesos_dns.demo.document import MasterIdentity
from mesos_dns.demo.releases import Release
from mesos_dns.demo.v1_document import master_info

#: In the order in which they came; the operator API cannot write the last one.
_CAPABILITIES = ("AGENT_UPDATE", "AGENT_DRAINING", "QUOTA_V2")


class Form(Enum):
    """The form of a node. The value is its label: the node's name up to the sequence number."""

    JSON = "json.info_"  # 0.24 and later
    PROTOBUF = "info_"  # 0.18 to 0.23
    PID = ""  # before 0.18


def encoded(form: Form, identity: MasterIdentity, release: Release) -> bytes:
    """Return the data of a master's node."""
    match form:
        case Form.JSON:
            info = master_info(identity, release)
            if "capabilities" in info:
                info["capabilities"] = [{"type": name} for name in _CAPABILITIES[: len(info["capabilities"])]]
            return json.dumps(info, separators=(",", ":"), sort_keys=True).encode()
        case Form.PROTOBUF:
            return protobuf(identity, release)
        case Form.PID:
            return identity.pid.encode()


def protobuf(identity: MasterIdentity, release: Release) -> bytes:
    """Return a MasterInfo message: id 1, ip 2, port 3, pid 4, hostname 5, version 6 (0.23), address 7 (0.24)."""
    ip = int.from_bytes(bytes(map(int, identity.address.split("."))), "little")
    message = (
        _text(1, identity.id)
        + _number(2, ip)
        + _number(3, identity.port)
        + _text(4, identity.pid)
        + _text(5, identity.name)
    )
    if release.at_least(0, 23):
        message += _text(6, str(release))
    if release.at_least(0, 24):
        address = _text(1, identity.name) + _text(2, identity.address) + _number(3, identity.port)
        message += _varint(7 << 3 | 2) + _varint(len(address)) + address
    return message


def _varint(number: int) -> bytes:
    octets = []
    while True:
        number, low = number >> 7, number & 0x7F
        octets.append(low | (0x80 if number else 0))
        if not number:
            return bytes(octets)


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _text(field: int, text: str) -> bytes:
    octets = text.encode()
    return _varint(field << 3 | 2) + _varint(len(octets)) + octets
