"""Identifiers as Mesos and its frameworks make them, drawn from a seeded generator."""

import random
from ipaddress import IPv4Address, IPv6Address

#: Agents are 10.0.1.0 and up: below 10.0.1.0 live the schedulers, from 10.128.0.0 the containers.
_AGENTS = int(IPv4Address("10.0.1.0"))
_CONTAINERS = int(IPv4Address("10.128.0.0"))
_BRIDGE = int(IPv4Address("172.17.0.2"))
_AGENTS6 = int(IPv6Address("fd00:0:0:a::"))
_CONTAINERS6 = int(IPv6Address("fd00:0:0:c::"))

#: 10.0.1.0 to 10.127.255.255, less than half a /8: the addresses that are kept for agents.
MAX_AGENTS = 8_000_000
#: 10.128.0.0/9 is kept for containers; the serial number of a task starts again when it is used up.
_CONTAINER_SPACE = 1 << 23


def uuid(rng: random.Random) -> str:
    """Return a version 4 UUID: `8-4-4-4-12` hexadecimal digits."""
    text = f"{rng.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def agent_address(number: int) -> str:
    """Return the IPv4 address of agent `number`, inside 10.0.0.0/9, never ending in 0 or 255."""
    block, host = divmod(number, 254)
    return str(IPv4Address(_AGENTS + block * 256 + host + 1))


def agent_address6(number: int) -> str:
    """Return the IPv6 address of agent `number`, a unique local one (RFC 4193)."""
    return str(IPv6Address(_AGENTS6 + number + 1))


def container_address(serial: int) -> str:
    """Return the IPv4 address of the `serial`-th container of an overlay network, inside 10.128.0.0/9."""
    return str(IPv4Address(_CONTAINERS + serial % (_CONTAINER_SPACE - 1) + 1))


def container_address6(agent: int, serial: int) -> str:
    """Return the IPv6 address of a container: the agent's own /80 inside fd00::/8."""
    return str(IPv6Address(_CONTAINERS6 + ((agent + 1) << 32) + serial + 1))


def bridge_address(serial: int) -> str:
    """Return an address on docker's own bridge: the same ones on every agent, unreachable from outside."""
    return str(IPv4Address(_BRIDGE + serial % 65000))
