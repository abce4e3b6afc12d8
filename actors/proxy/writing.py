"""Writes pieces to a transport in one go."""

import asyncio
from typing import Final

JOINED_BYTES: Final = 16_384  # up to here copying is cheaper than a second write


def write_pieces(transport: asyncio.WriteTransport, pieces: list[bytes]) -> None:
    """Writes `pieces`, not empty: as one when they are small, never copying a large body."""
    if len(pieces) == 1:
        transport.write(pieces[0])
    elif len(pieces) == 2 and len(pieces[1]) <= JOINED_BYTES:
        transport.write(pieces[0] + pieces[1])
    elif sum(map(len, pieces)) <= JOINED_BYTES:
        transport.write(b"".join(pieces))
    else:
        transport.writelines(pieces)
