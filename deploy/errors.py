"""What a command fails with: a sentence that says what to do next, and an exit status."""

from typing import ClassVar


class Failure(Exception):
    """The command was refused or failed."""

    status: ClassVar[int] = 1


class Usage(Failure):
    """The command line can't be meant; known before anything was done."""

    status = 2


class NotAllowed(Failure):
    """The credentials are good, and not for this."""


class NotInTime(Failure):
    """Done, but not everybody had applied it when the time was up."""

    status = 3


class Interrupted(Failure):
    """Ctrl-C, before it was done; nothing of it is left."""

    status = 130


class NoMesh(Failure):
    """No mesh was reached."""

    status = 4
