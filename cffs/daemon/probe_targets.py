"""The objects that `cffs doctor --probe` looks at.

They come from a URL, from a path, or are one of each kind.

Owns which objects are looked at. It must not know how (`daemon/probe`).
"""

from collections.abc import Iterable, Iterator
from urllib.parse import unquote, urlsplit

from cffs.callfire.v1 import V1Client
from cffs.callfire.v2 import V2Client
from cffs.core.errors import CffsError, UsageError
from cffs.core.settings import Settings
from cffs.core.source import Api, Source, v1_recording, v2_media_raw, v2_recording, v2_recording_by_name
from cffs.core.values import RecordingState
from cffs.daemon.probe import Target

#: Calls that are searched for a recording, newest first; accounts without one in so many are rare.
_CALLS = 50
_RECORDING = ("files", "recording")


def source_of(url: str, settings: Settings) -> Source:
    """The object that a URL names; the query, and any key in it, is dropped. Raises UsageError, one line, for others.

    Post-backs and exports spell v1's recordings with `http` and other hosts. What lies below `/files/recording/` is
    therefore asked of the configured v1.
    """
    parts = urlsplit(url)
    for api, base in ((Api.V1, settings.v1_url), (Api.V2, settings.v2_url)):
        known = urlsplit(base)
        path = parts.path.removeprefix(known.path.rstrip("/") + "/")
        if parts.netloc.lower() == known.netloc.lower() and path != parts.path:
            return Source(api, tuple(unquote(segment) for segment in path.split("/")))
    before, found, path = parts.path.partition("/files/recording/")
    if found and parts.scheme in ("http", "https") and before is not None:
        return Source(Api.V1, (*_RECORDING, *(unquote(segment) for segment in path.split("/"))))
    raise UsageError("the URL is neither below --v1-url nor below --v2-url, nor a recording's; nothing was asked")


def kind_of(source: Source) -> str:
    """The kind of the object: wav, mp3, mp3_by_name, dynamic or media."""
    if source.api is Api.V1:
        return "dynamic" if "dynamic" in source.segments else "wav"
    if source.segments[0] == "media":
        return "media"
    return "mp3" if source.segments[:2] == ("calls", "recordings") else "mp3_by_name"


def with_siblings(sources: Iterable[Source], hint_nbytes: int | None) -> Iterator[Target]:
    """Targets for these sources, and for a recording's other form, each once."""
    seen: set[Source] = set()
    for source in sources:
        for one in (source, *_siblings(source)):
            if one not in seen:
                seen.add(one)
                yield Target(kind=kind_of(one), source=one, hint_nbytes=hint_nbytes)


def _siblings(source: Source) -> Iterator[Source]:
    *before, last = source.segments
    if source.api is Api.V1 and tuple(before) == _RECORDING and last.isdecimal():
        yield v2_recording(int(last))
    if source.api is Api.V2 and before == ["calls", "recordings"] and last.removesuffix(".mp3").isdecimal():
        yield v1_recording(int(last.removesuffix(".mp3")))


async def one_of_each(v1: V1Client | None, v2: V2Client | None) -> list[Target]:
    """A finished recording in both forms and a media file, from the newest page of each list. Raises UsageError where
    the lists have none."""
    targets: list[Target] = []
    trouble = ""
    if v2 is not None:
        try:
            page = await v2.find_calls(limit=_CALLS, offset=0)
            recordings = (one for call in page.items for one in call.recordings or ())
            for one in recordings:
                if one.state is not RecordingState.READY:
                    continue
                targets.append(Target(kind="mp3", source=v2_recording(one.id), hint_nbytes=one.hint_nbytes))
                if one.call_id is not None and one.name:
                    named = v2_recording_by_name(one.call_id, one.name)
                    targets.append(Target(kind="mp3_by_name", source=named, hint_nbytes=one.hint_nbytes))
                if v1 is not None:
                    targets.append(Target(kind="wav", source=v1_recording(one.id), hint_nbytes=one.hint_nbytes))
                break
        except CffsError as error:
            trouble = str(error)
        try:
            media = await v2.find_media(limit=1, offset=0)
            targets += [Target(kind="media", source=v2_media_raw(one.id)) for one in media.items[:1]]
        except CffsError as error:
            trouble = trouble or str(error)
    if not targets:
        why = trouble or "the account lists no recording and no media"
        raise UsageError(f"found nothing to look at ({why}); give the URL or the path of a recording")
    return targets
