"""What can go wrong on the bus; each error carries its facts as attributes and says what to do."""


class BusError(Exception):
    """The base of all errors of this room."""


class Undecodable(BusError):
    """Bytes that are not a message of the expected type; never worth a retry."""

    def __init__(self, expected: str, reason: str) -> None:
        super().__init__(f"not a {expected}: {reason}")
        self.expected = expected
        self.reason = reason


class ConnectFailed(BusError):
    """The first connection did not come about in time, or was refused."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"no NATS at {url}: {reason}")
        self.url = url
        self.reason = reason


class UserRefused(ConnectFailed):
    """There is a NATS, and it does not let this user in: removed, or of another mesh."""

    def __init__(self, url: str, user: str) -> None:
        super().__init__(url, f"user {user!r} was refused")
        self.user = user


class NotConnected(BusError):
    """Nothing was sent: there is no connection now. It is being re-made; try again then."""

    def __init__(self, action: str) -> None:
        super().__init__(f"not connected to NATS, {action} was not sent")
        self.action = action


class Forbidden(BusError):
    """The user of this connection has no permission for the subject."""

    def __init__(self, user: str, action: str, subject: str) -> None:
        super().__init__(f"NATS user {user!r} may not {action} {subject!r}")
        self.user = user
        self.action = action
        self.subject = subject


class NoAnswer(BusError):
    """A request was sent and no answer came. It may still be carried out: read back, then retry."""

    def __init__(self, subject: str, seconds: float, because: str = "") -> None:
        why = f" ({because})" if because else ""
        super().__init__(
            f"no answer on {subject!r} in {seconds:.1f} s{why}; it may still be carried out"
        )
        self.subject = subject
        self.seconds = seconds


class NobodyListens(BusError):
    """A request reached the server, and nobody serves its subject at the moment."""

    def __init__(self, subject: str) -> None:
        super().__init__(f"nobody listens on {subject!r}")
        self.subject = subject


class Conflict(BusError):
    """A key is not at the expected revision (0: it exists); read it and decide again."""

    def __init__(self, key: str, expected: int) -> None:
        is_not = "exists already" if expected == 0 else f"is no longer at revision {expected}"
        super().__init__(f"key {key!r} {is_not}")
        self.key = key
        self.expected = expected


class Fenced(BusError):
    """A batch was refused as a whole: its writer does not lead any more."""

    def __init__(self, key: str, expected: int) -> None:
        super().__init__(
            f"this replica leads no more ({key!r} is no longer at revision {expected}); "
            "nothing was stored"
        )
        self.key = key
        self.expected = expected


class TooManyChanges(BusError):
    """More changes than one atomic batch takes; nothing was sent."""

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(f"{count} changes in one commit, NATS takes {limit}: split them")
        self.count = count
        self.limit = limit


class TooLarge(BusError):
    """A message above the server's limit; nothing was sent."""

    def __init__(self, subject: str, size: int, limit: int) -> None:
        super().__init__(f"{size} bytes for {subject!r} are too many, NATS takes {limit}")
        self.subject = subject
        self.size = size
        self.limit = limit


class StoreReplaced(BusError):
    """The bucket was made anew behind a running watch; start over from an empty picture."""

    def __init__(self, bucket: str) -> None:
        super().__init__(f"bucket {bucket!r} was made anew: revisions start again, read all of it")
        self.bucket = bucket


class ServerChanged(BusError):
    """The connection is back, at another start of the server: its store may be another one, or an
    older copy of the same, so what was read before says nothing."""

    def __init__(self, server: str) -> None:
        super().__init__(f"NATS was started again (it was {server}): read all of the store")
        self.server = server


class StoreRefused(BusError):
    """JetStream answered with an error that is none of the above."""

    def __init__(self, subject: str, code: int, description: str) -> None:
        super().__init__(f"JetStream refused {subject!r}: {description} ({code})")
        self.subject = subject
        self.code = code
        self.description = description


class ServerTooOld(BusError):
    """The server lacks what the mesh relies on (atomic batches)."""

    def __init__(self, found: str, needed: str) -> None:
        super().__init__(f"nats-server {found} is too old, {needed} or newer is needed")
        self.found = found
        self.needed = needed


class ServerFailed(BusError):
    """The nats-server that we run did not start, or ended. `output`: the end of its log."""

    def __init__(self, reason: str, log: str, output: str) -> None:
        super().__init__(f"nats-server {reason}; the end of {log}:\n{output}".rstrip())
        self.reason = reason
        self.log = log
        self.output = output
