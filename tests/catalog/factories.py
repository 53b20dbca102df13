"""Values as answers make them, fakes of the two clients, and a background."""

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from cffs.core.errors import CffsError, RemoteObjectMissing
from cffs.core.values import Call, Campaign, Media, Page, Recording, RecordingList, RecordingState
from cffs.daemon.background import NurseryBackground


def recording(ident: int, name: str = "call_recording", **fields: Any) -> Recording:
    """A recording; `document` is what an answer would have held."""
    told: dict[str, Any] = {
        "id": ident,
        "call_id": 7,
        "campaign_id": 5,
        "name": name,
        "created_ms": 1_700_000_000_000,
        "hint_nbytes": 96_000,
        "seconds": 24,
        "state": RecordingState.READY,
        "document": {"id": ident, "name": name},
        **fields,
    }
    return Recording(**told)


def call(ident: int = 7, **fields: Any) -> Call:
    """A call whose recordings are not known, unless they are given."""
    told: dict[str, Any] = {
        "id": ident,
        "campaign_id": 5,
        "from_number": "12135550100",
        "to_number": "14155550199",
        "inbound": False,
        "created_ms": 1_700_000_000_000,
        "modified_ms": 1_700_000_060_000,
        "labels": ("survey",),
        "recordings": None,
        "document": {"id": ident},
        **fields,
    }
    return Call(**told)


def campaign(ident: int = 5, **fields: Any) -> Campaign:
    """A broadcast."""
    told: dict[str, Any] = {
        "id": ident,
        "name": "Winback",
        "modified_ms": 1_700_000_000_000,
        "document": {"id": ident, "name": "Winback"},
        **fields,
    }
    return Campaign(**told)


def media(ident: int, name: str = "logo", **fields: Any) -> Media:
    """A media file with a public URL."""
    told: dict[str, Any] = {
        "id": ident,
        "name": name,
        "created_ms": 1_700_000_000_000,
        "hint_nbytes": 5_000,
        "extension": "jpg",
        "public_key": f"key{ident}",
        "public_extension": "jpeg",
        "document": {"id": ident, "name": name},
        **fields,
    }
    return Media(**told)


def page(items: list[Any], *, limit: int | None = None, total: int | None = None, received: int | None = None) -> Any:
    """A page of a list."""
    received = len(items) if received is None else received
    return Page(
        items=tuple(items), limit=limit, offset=None, total=total, received=received, refused=received - len(items)
    )


class FakeV2:
    """A v2 whose operations answer from a table: `answers[name]` is a value, an exception, or a function.

    `asked` holds what was asked for, in order: (operation, arguments).
    """

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = answers
        self.asked: list[tuple[Any, ...]] = []

    def count(self, name: str) -> int:
        """How often an operation was asked."""
        return sum(asked[0] == name for asked in self.asked)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        if name.startswith("_"):
            raise AttributeError(name)

        async def operation(*arguments: Any, **options: Any) -> Any:
            self.asked.append((name, *arguments, *options.values()))
            await trio.lowlevel.checkpoint()
            answer = self.answers.get(name, RemoteObjectMissing(name))
            if callable(answer) and not isinstance(answer, type):
                answer = answer(*arguments, **options)
                if isinstance(answer, Awaitable):
                    answer = await answer
            if isinstance(answer, BaseException):
                raise answer
            return answer

        return operation


class FakeV1(FakeV2):
    """A v1 with one operation; `lists` maps (campaign, call) to file ids, every other pair is an empty list."""

    def __init__(self, lists: dict[tuple[int, int], tuple[int, ...]] | None = None, **answers: Any) -> None:
        def list_recordings(campaign_id: int, call_id: int) -> Any:
            ids = (lists or {}).get((campaign_id, call_id), ())
            return RecordingList(campaign_id=campaign_id, call_id=call_id, file_ids=ids, refused=0)  # type: ignore[arg-type]

        super().__init__(**{"list_recordings": list_recordings, **answers})


async def failure_of(awaitable: Awaitable[Any]) -> CffsError | None:
    """The CffsError that it raised; None where it raised none."""
    try:
        await awaitable
    except CffsError as failure:
        return failure
    return None


TTL = 60.0
NOW_MS = 1_717_300_000_000


class Wall:
    """The wall clock of a test."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


class CountingBackground(NurseryBackground):
    """The mount's own background; it counts what was started."""

    def __init__(self, nursery: trio.Nursery) -> None:
        super().__init__(nursery)
        self.started = 0

    def start(self, function: Any, *arguments: Any) -> None:
        """Start a task as the mount does, and count it."""
        self.started += 1
        super().start(function, *arguments)
