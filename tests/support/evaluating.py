"""A picture of the mesh, fed from a store in memory as an evaluator's is fed from NATS."""

from collections.abc import Sequence

from tests.support.policies_api import service
from tulle.actors.evaluator.commit import Author, commit_of
from tulle.actors.evaluator.picture import Picture
from tulle.actors.evaluator.requests import Checked, check_apply
from tulle.bus import codec, keys
from tulle.bus.memory import MemoryStore
from tulle.bus.messages import ApplyRequest, PolicyFile
from tulle.bus.store import Change, Entry, Operation, Ready


class Evaluating:
    """`apply` commits as the leader does; `follow` reads what was stored since the last time."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.picture = Picture()
        self._number = 0

    def check(self, text: str, request: str = "r") -> Checked:
        """What applying `text` would change."""
        files = [PolicyFile(name="test.yaml", text=text)]
        message = ApplyRequest(id=request, files=files)
        return check_apply(message, self.picture.world, self.picture.position + 1)

    def commit(self, text: str, request: str = "r") -> list[Change]:
        """The commit of `text`."""
        checked = self.check(text, request)
        assert not checked.refused, checked.problems
        author = Author(request, "evaluator-1", when=1.0)
        return commit_of(self.picture, checked.changes, checked.lines, checked.problems, author)

    async def apply(self, text: str, request: str = "r") -> int:
        """Commits `text` and follows; the revision."""
        committed = await self.store.put_all(self.commit(text, request))
        await self.follow()
        return committed.revision

    async def follow(self) -> None:
        """The picture sees what is stored, as a watch that begins now would give it."""
        async with self.store.watch() as changes:
            async for change in changes:
                if isinstance(change, Ready):
                    self.picture.flush()
                    return
                self.picture.on_policies(change)

    def register(self, *names: str) -> None:
        """The registry has these services."""
        for name in names:
            self._number += 1
            key = keys.service("default", name)
            entry = Entry(key, codec.encode(service(name)), self._number, Operation.PUT)
            self.picture.on_registry(entry)


def stored_keys(changes: Sequence[Change]) -> list[str]:
    """The keys of a commit, in order."""
    return [change.key for change in changes]
