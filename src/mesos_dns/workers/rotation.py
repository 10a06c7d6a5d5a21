"""The secrets of server cookies that control makes if none are configured. Pure; time and randomness come in.

There are three: the one in use, the next one, and the one before. So a worker that learns of a change later than another knows the
secret of the other's cookies already, and what a client got a moment ago stays right (RFC 9018 section 5).
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from mesos_dns.serve.cookies import SECRET_SIZE
from mesos_dns.workers.protocol import CookieSecrets

#: Seconds that a secret is in use. RFC 7873 section 7.1 advises a day or so; cookies are right for an hour, in which the one before is known.
SECRET_SECONDS: Final = 86400.0

#: Gives so many random octets that nobody can guess.
Random = Callable[[int], bytes]


class MadeSecrets(NamedTuple):
    """Secrets, and until when (in the clock of who asks) the first is in use."""

    cookies: CookieSecrets
    until: float

    def turned(self, now: float, random: Random) -> "MadeSecrets":
        """The secrets for the time from `now` on: the next is in use."""
        in_use, following, *_ = self.cookies.secrets
        return MadeSecrets(CookieSecrets([following, random(SECRET_SIZE), in_use]), now + SECRET_SECONDS)


def begin(now: float, random: Random) -> MadeSecrets:
    """The first ones of a process that starts."""
    return MadeSecrets(CookieSecrets([random(SECRET_SIZE), random(SECRET_SIZE)]), now + SECRET_SECONDS)
