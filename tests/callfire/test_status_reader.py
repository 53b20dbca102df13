"""Evidence of which operations a service offers."""

from cffs.callfire.status_reader import OperationEvidence
from cffs.core.source import Api


def test_an_operation_that_only_ever_denies_itself_is_not_offered() -> None:
    """One object proves nothing, nor do two forms of it; a second does, until the operation answers for any."""
    evidence = OperationEvidence()
    assert not evidence.note_denial(Api.V2, "calls/recordings/5.mp3")
    assert not evidence.note_denial(Api.V2, "calls/recordings/5.mp3")
    assert not evidence.note_denial(Api.V2, "calls/recordings/6")
    assert not evidence.note_denial(Api.V1, "calls/recordings/6.mp3")
    assert evidence.note_denial(Api.V2, "calls/recordings/6.mp3")
    assert evidence.note_denial(Api.V2, "calls/recordings/5.mp3")
    evidence.note_answer(Api.V2, "calls/recordings/7.mp3")
    assert not evidence.note_denial(Api.V2, "calls/recordings/5.mp3")
    assert not evidence.note_denial(Api.V2, "calls/recordings/8.mp3")
