"""The connections of the demo's traffic: one for a single request, or kept for several.

A kept connection is renewed after some requests, as a visitor's browser does; otherwise all of
them would stay for ever with the gateway that they once met.
"""

from collections.abc import Mapping

from tulle.deploy.demo.exchange import Answer, Connection, ConnectionLost

REQUESTS_PER_CONNECTION = 8


class Visitors:
    """Requests to one address over `slots` kept connections or over new ones."""

    def __init__(
        self, address: tuple[str, int], path: str, host: str, headers: Mapping[str, str], slots: int
    ) -> None:
        self._address = address
        self._path = path
        self._host = host
        self._headers = headers
        self._kept: list[tuple[Connection, int] | None] = [None] * slots

    async def get_once(self) -> Answer:
        """GETs on a new connection. Raises OSError, `ConnectionLost`."""
        connection = await Connection.open(*self._address)
        try:
            return await connection.get(self._path, self._host, self._headers, last=True)
        finally:
            connection.close()

    async def get_kept(self, slot: int) -> tuple[Answer, bool]:
        """GETs on the kept connection of `slot`, a new one when it is in use or spent.

        The flag says that the kept one was closed before a byte of the answer and the request was
        sent again, which HTTP/1.1 allows. Raises OSError, `ConnectionLost`.
        """
        kept, self._kept[slot] = self._kept[slot], None
        if kept is not None and kept[0].usable:
            try:
                return await self._get(slot, *kept), False
            except ConnectionLost as error:
                if not error.before_answer:
                    raise
                return await self.get_once(), True
        connection = await Connection.open(*self._address)
        return await self._get(slot, connection, REQUESTS_PER_CONNECTION), False

    async def _get(self, slot: int, connection: Connection, left: int) -> Answer:
        try:
            answer = await connection.get(self._path, self._host, self._headers, last=left == 1)
        except BaseException:
            connection.close()
            raise
        if connection.usable and self._kept[slot] is None:
            self._kept[slot] = (connection, left - 1)
        else:
            connection.close()
        return answer

    def close(self) -> None:
        """Closes the kept connections."""
        for slot, kept in enumerate(self._kept):
            if kept is not None:
                kept[0].close()
            self._kept[slot] = None
