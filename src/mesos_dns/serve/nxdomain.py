"""Ready NXDOMAIN responses for names that nobody asked for before: what random names of an attacker, and search lists, cost.

What stands in such a response depends on nothing but the length of the name and the rest of the key, until the zone changes.
So there is nothing to render; what costs is to be sure that the name does not exist.
"""

from typing import Final

from mesos_dns.serve.fast import FastAnswers
from mesos_dns.serve.keys import BEHIND_NAME, BEHIND_NAME_EDNS, NAME
from mesos_dns.serve.traffic import Kind, Ready, Traffic

#: Kinds of questions (flags, type and mark) whose responses are kept ready; usual are ten.
_MOST_KINDS: Final = 1000
#: Kinds and lengths of names together: usual are a few hundred.
_MOST_READY: Final = 8192
#: Kinds and parents together. About 300 octets each.
_MOST_BELOW: Final = 8192


class ReadyNxdomain:
    """NXDOMAIN responses as descriptors, for the zone as it was when the entries of the cache were `generation`."""

    def __init__(self, fast: FastAnswers, generation: object, traffic: Traffic) -> None:
        """`traffic` learns how often each response was given."""
        self._fast = fast
        self._traffic = traffic
        self.generation = generation
        #: By kind of question and length of the name.
        self._kinds: dict[bytes, dict[int, Ready]] = {}
        #: By key without the octets of the first label, for names whose parent exists. Read by the answering loop directly, as
        #: a call costs as much as the look; it has to make sure that there is neither such a name nor an asterisk in it.
        self.below: dict[bytes, Ready] = {}

    def __repr__(self) -> str:
        return f"ReadyNxdomain({len(self._kinds)} kinds, {len(self.below)} below parents)"

    def find(self, key: bytes) -> Ready | None:
        """The response for a name that certainly does not exist, if one of its kind is ready."""
        behind = BEHIND_NAME_EDNS if key[NAME - 1 : NAME] == b"\1" else BEHIND_NAME
        kind = self._kinds.get(key[:NAME] + key[-behind:])
        if kind is None:
            return None
        name = key[NAME:-behind]
        ready = kind.get(len(name))
        if ready is None or not self._fast.is_unknown(name):
            return None
        parent = name[name[0] + 1 :]
        if (name[0], parent) not in self._fast.special_shapes:
            if len(self.below) >= _MOST_BELOW:
                self.below.clear()
            self.below[key[: NAME + 1] + parent + key[-behind:]] = ready
        return ready

    def keep(self, key: bytes, size: int, descriptor: bytes, kind: Kind) -> None:
        """Have the response to `key`, whose name has `size` octets and does not exist, ready for others of its kind."""
        if len(self._kinds) >= _MOST_KINDS or self._traffic.ready_count >= _MOST_READY:
            self._kinds.clear()
            self.below.clear()
            self._traffic.drop_ready()
        ready = self._traffic.watch(Ready(descriptor, kind))
        self._kinds.setdefault(key[:NAME] + key[NAME + size :], {})[size] = ready
