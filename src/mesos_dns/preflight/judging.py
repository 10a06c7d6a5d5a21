"""What it means what masters and clocks say. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from mesos_dns.mesos.decoding.beginning import Beginning
from mesos_dns.mesos.errors import (
    LoginError,
    MasterError,
    MasterTimeoutError,
    NoLeaderError,
    RedirectError,
    UnauthorizedError,
)
from mesos_dns.mesos.source import KnownMasters
from mesos_dns.mesos.state import Endpoint
from mesos_dns.preflight.findings import Finding, Level

#: Seconds that this machine's clock may be off: `Date` has whole seconds, and an answer is under way for some. Tokens bear minutes, server
#: cookies an hour (RFC 9018); NTP keeps milliseconds.
MOST_SECONDS_OFF: Final = 5.0

_ASKED: Final = "GET /master/state, its beginning"


class Asked(NamedTuple):
    """What came of asking one master. `listed`: the configuration names it; `version` is what `/version` said, "" if nothing.

    `offset`: seconds that the clock of this machine is ahead of its, None if it did not tell.
    """

    endpoint: Endpoint
    listed: bool
    outcome: Beginning | MasterError
    seconds: float
    version: str = ""
    offset: float | None = None

    @property
    def leads(self) -> bool:
        """Whether it says that it leads."""
        state = self.outcome
        return (
            isinstance(state, Beginning)
            and state.leader is not None
            and (state.leader in (state.pid, self.endpoint) or (state.pid is None and not self.listed))
        )

    @property
    def points_to(self) -> Endpoint | None:
        """Whom it says to lead, if that is somebody else."""
        if isinstance(self.outcome, RedirectError):
            return self.outcome.location
        return None if self.leads or isinstance(self.outcome, MasterError) else self.outcome.leader


def masters(asked: Sequence[Asked]) -> list[Finding]:
    """A line for each master. One that cannot be reached is a warning if another one leads: that is what several are for."""
    led = any(one.leads for one in asked)
    found = []
    for one in asked:
        line = _master(one)
        away = isinstance(one.outcome, MasterError) and not isinstance(one.outcome, UnauthorizedError | LoginError)
        found.append(
            msgspec.structs.replace(line, level=Level.WARN) if led and away and line.level is Level.FAIL else line
        )
    return found


def _master(asked: Asked) -> Finding:
    outcome = asked.outcome
    if isinstance(outcome, MasterError):
        return _failed(asked, outcome)
    version = outcome.version or asked.version
    name = f"Mesos {version}" if version else "a Mesos of unknown version"
    took = f"answered in {1000 * asked.seconds:.0f} ms"
    if not outcome.is_state:
        return _of(
            Level.FAIL, asked, "what came is no state of a master", "is this the port of a Mesos master, or a proxy's?"
        )
    if asked.leads:
        return _of(Level.OK, asked, f"leads; {name}, {took}")
    if outcome.leader is None:
        return _of(Level.WARN, asked, f"names no leader; {name}", "an election may be going on: check again")
    return _of(Level.OK, asked, f"does not lead, {outcome.leader} does; {name}, {took}")


def _failed(asked: Asked, error: MasterError) -> Finding:
    match error:
        case RedirectError(location=Endpoint() as leader):
            version = f"; Mesos {asked.version}" if asked.version else ""
            return _of(Level.OK, asked, f"does not lead, points to {leader}{version}")
        case NoLeaderError():
            return _of(
                Level.WARN, asked, error.text, "an election may be going on: check again; then look at ZooKeeper"
            )
        case UnauthorizedError():
            return _of(Level.FAIL, asked, error.text, "Mesos-DNS needs the rights to read the state")
        case LoginError():
            return _of(Level.FAIL, asked, error.text, "check IAMConfigFile, and the login service")
        case MasterTimeoutError() if asked.version:
            found = f"answers /version (Mesos {asked.version}), but its state has not begun in time: {error.text}"
            return _of(
                Level.WARN, asked, found, "a very large state takes longer, StateTimeoutSeconds is the limit then"
            )
        case _:
            # Most say what to do themselves.
            found, _, advice = error.text.partition("; ")
            return _of(Level.FAIL, asked, found, advice or "is it running, is its address right, does a firewall drop?")


def _of(level: Level, asked: Asked, found: str, advice: str = "") -> Finding:
    expected = "" if level is Level.OK else "the state of the leading master, or who leads"
    return Finding(level, "master", str(asked.endpoint), _ASKED, found, expected, advice)


def leader(asked: Sequence[Asked], named: KnownMasters) -> Finding:
    """Whether there is one leader whose state can be read, and whether ZooKeeper (`named`) says the same."""
    leaders = [one.endpoint for one in asked if one.leads]
    found = ", ".join(map(str, leaders)) or "nobody leads"
    if not leaders:
        level, expected, advice = (
            Level.FAIL,
            "one master that leads",
            "without a state there are no names: mend what the masters' lines say",
        )
    elif len(leaders) > 1:
        level, expected, advice = (
            Level.WARN,
            "one that leads",
            "for a moment that is normal; else Masters holds two clusters, or masters run without --zk",
        )
    elif named.leader is not None and named.leader not in leaders:
        level, expected, advice = (
            Level.WARN,
            f"{named.leader}, which ZooKeeper names",
            "an election may be going on: check again; else Masters or Zk is of another cluster",
        )
    else:
        return Finding(Level.OK, "leader", "", "who says that it leads", found)
    return Finding(level, "leader", "", "who says that it leads", found, expected, advice)


def login(asked: Iterable[Asked], url: str) -> Finding:
    """How logging in as a service account went, told from what the masters were asked."""
    errors = [one.outcome for one in asked if isinstance(one.outcome, LoginError)]
    tried = "a token for the service account of IAMConfigFile"
    if not errors:
        return Finding(Level.OK, "login", url, tried, "gives tokens")
    advice = "the reason says what it minds; the account must exist there, with this public key"
    return Finding(Level.FAIL, "login", url, tried, errors[0].text, "a token", advice)


def clock(asked: Iterable[Asked]) -> Finding:
    """Whether the clock of this machine agrees with those of the masters."""
    offsets = {one.endpoint: one.offset for one in asked if one.offset is not None}
    tried = "the dates of the masters' answers"
    if not offsets:
        advice = "mend what the masters' lines say, and look again"
        return Finding(Level.WARN, "clock", "", tried, "no master told the time", "dates to compare with", advice)
    off = {endpoint: seconds for endpoint, seconds in offsets.items() if abs(seconds) > MOST_SECONDS_OFF}
    if not off:
        number = f"{len(offsets)} master{'s' if len(offsets) > 1 else ''}"
        return Finding(Level.OK, "clock", "", tried, f"agrees with {number} within {MOST_SECONDS_OFF:.0f} s")
    found = ", ".join(f"{_span(seconds)} master {endpoint}" for endpoint, seconds in off.items())
    whose = "this machine's" if len(off) == len(offsets) > 1 else "this machine's, or that master's,"
    advice = f"set {whose} clock (NTP); tokens, certificates and DNS cookies depend on it"
    return Finding(Level.WARN, "clock", "", tried, found, f"at most {MOST_SECONDS_OFF:.0f} s apart", advice)


def _span(seconds: float) -> str:
    return f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'}"
