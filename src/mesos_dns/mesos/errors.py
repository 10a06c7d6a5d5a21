"""Why a master could not be read: one type per kind of answer. Pure.

Every text names the master, what was found, what was expected and what to do.
"""

from mesos_dns.mesos.state import Endpoint


class MasterError(Exception):
    """Asking `endpoint` for its state failed; the text is complete by itself."""

    def __init__(self, endpoint: Endpoint, text: str) -> None:
        super().__init__(f"master {endpoint}: {text}")
        self.endpoint = endpoint
        self.text = text


class UnreachableError(MasterError):
    """No connection: refused, no route, unknown name, TLS failure."""


class MasterTimeoutError(MasterError):
    """No complete answer in time."""


class DisconnectedError(MasterError):
    """The connection broke before the answer was complete, or what came was no HTTP."""


class StatusError(MasterError):
    """An HTTP status that no other error stands for."""

    def __init__(self, endpoint: Endpoint, status: int, text: str) -> None:
        super().__init__(endpoint, text)
        self.status = status


class RedirectError(MasterError):
    """307: this master does not lead (Mesos 1.0 and later). `location` is where it points, None if unreadable."""

    def __init__(self, endpoint: Endpoint, location: Endpoint | None, text: str) -> None:
        super().__init__(endpoint, text)
        self.location = location


class NoLeaderError(MasterError):
    """503 (Mesos 1.0 and later), or a state without `leader` (before): no master leads at the moment."""


class UnauthorizedError(MasterError):
    """401 or 403; `realm` is the one of the challenge, "" without. The master asks for (other) credentials."""

    def __init__(self, endpoint: Endpoint, realm: str, text: str) -> None:
        super().__init__(endpoint, text)
        self.realm = realm


class LoginError(MasterError):
    """The DC/OS identity service gave no token."""


class BodyError(MasterError):
    """The answer was complete but is no state: HTML, half a JSON, nothing, too much."""


class NotLeadingError(MasterError):
    """A master before Mesos 1.0 answered 200 with its own empty view; its leader could not be read either."""


class ForeignError(MasterError):
    """A state of another cluster, as far as one can tell (`mesos.identity`). It is not believed."""


class NobodyAnsweredError(Exception):
    """A whole round failed. `errors` holds what each asked master said, in the order of asking; `why` what hinders finding masters."""

    def __init__(self, errors: tuple[MasterError, ...], why: str = "") -> None:
        said = "; ".join(map(str, errors)) or "no master to ask: Masters lists none, and Zk has named none yet"
        super().__init__("; ".join([said, *([why] if why else [])]))
        self.errors = errors
