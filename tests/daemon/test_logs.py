"""Logs: no secret in any form from any logger; where they go; text and JSON."""

import base64
import json
import logging
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from cffs.core.errors import UsageError
from cffs.core.settings import Credentials, Settings
from cffs.daemon.logs import configure, open_log_file

KEY, LOGIN, PASSWORD = "CANARY/key+v1", "CANARYlogin", "CANARY pass&v2"
FORMS = [
    KEY,
    quote(KEY, safe=""),
    quote(KEY, safe="").lower(),
    PASSWORD,
    quote(PASSWORD),
    PASSWORD.replace(" ", "+"),
    base64.b64encode(KEY.encode()).decode(),
    base64.b64encode(f"{LOGIN}:{PASSWORD}".encode()).decode(),
    base64.urlsafe_b64encode(f"{LOGIN}:{PASSWORD}".encode()).decode().rstrip("="),
]


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.raiseExceptions
    with warnings.catch_warnings():
        yield
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        if handler not in before[0]:
            handler.close()
    root.handlers[:], root.level, logging.raiseExceptions = before
    logging.captureWarnings(False)


def make_settings(folder: Path, **changes: object) -> Settings:
    return Settings(
        credentials=Credentials(apikey=KEY, login=LOGIN, password=PASSWORD),
        cache_dir=folder,
        state_dir=folder,
        runtime_dir=folder,
        uid=0,
        gid=0,
        v1_url="https://h/1",
        v2_url="https://h/2",
        **changes,
    )


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_a_secret(tmp_path, capsys, form, log_format):
    """Message, arguments, exception text and traceback of a logger that no code here names show no form of any
    secret."""
    configure(make_settings(tmp_path, foreground=True, debug=True, log_format=log_format))
    logger = logging.getLogger("some.new.third.party")
    logger.info("plain " + form)
    logger.info("argument %s and %r", form, {"header": form})
    try:
        raise ValueError(f"https://h/x?q={form}")
    except ValueError:
        logger.exception("failed")
    warnings.warn(f"warned of {form}", stacklevel=1)
    written = capsys.readouterr().err
    assert written.count("***") >= 5
    assert form not in written
    assert "CANARYkey" not in written
    if log_format == "json":
        assert all(json.loads(line)["logger"] for line in written.splitlines())


@pytest.mark.parametrize(
    "text",
    [
        "GET https://h/x?apikey=UNKNOWN&limit=1",
        'HTTP Request: GET https://h/?API_KEY=UNKNOWN "HTTP/1.1 200"',
        "Authorization: Basic VU5LTk9XTg==",
        "[(b'Authorization', b'Basic VU5LTk9XTg==')]",
        "{'authorization': 'Bearer UNKNOWN'}",
        '{"password": "UNKNOWN"}',
        "https://user:UNKNOWN@h/path",
    ],
)
def test_shapes_of_secrets(tmp_path, capsys, text):
    """A key in a query, a header or a URL's userinfo is hidden, although it is not configured."""
    configure(make_settings(tmp_path, foreground=True))
    logging.getLogger("other").warning("%s", text)
    written = capsys.readouterr().err
    assert "UNKNOWN" not in written
    assert "VU5LTk9XTg" not in written
    assert "***" in written


def test_talkative_libraries(tmp_path, capsys):
    """httpx's line for each request does not appear, not even with --debug."""
    configure(make_settings(tmp_path, foreground=True, debug=True))
    logging.getLogger("httpx").info("HTTP Request: GET /x")
    logging.getLogger("httpcore.connection").debug("connect")
    assert capsys.readouterr().err == ""


def test_log_file_is_private(tmp_path):
    """A log file is 0600 whatever the umask, and is appended to."""
    before = os.umask(0)
    try:
        for word in ("first", "second"):
            configure(make_settings(tmp_path, log_file=tmp_path / "log"))
            logging.getLogger("x").warning(word)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600
    assert [line.split()[-1] for line in (tmp_path / "log").read_text().splitlines()] == ["first", "second"]


def test_log_file_is_no_link(tmp_path):
    """A symbolic or hard link, or a folder, in the place of the log file is refused, and what it leads to is
    untouched."""
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / "soft").symlink_to(target)
    os.link(target, tmp_path / "hard")
    for name in ("soft", "hard", "."):
        with pytest.raises(UsageError, match="--log-file"):
            open_log_file(tmp_path / name)
    assert target.read_text() == "mine"


def test_background_without_syslog(tmp_path, capsys, monkeypatch):
    """In the background without a syslog socket nothing is written, and nothing fails."""
    monkeypatch.setattr("cffs.daemon.logs._SYSLOG_SOCKET", tmp_path / "none")
    configure(make_settings(tmp_path))
    logging.getLogger("x").error("lost")
    assert capsys.readouterr().err == ""


def test_unformattable_record(tmp_path, capsys):
    """Of a record whose arguments do not fit, only the logger's name is reported."""
    configure(make_settings(tmp_path, foreground=True))
    logging.getLogger("x").error("%d %d", KEY)
    written = capsys.readouterr().err
    assert "could not be written" in written
    assert "CANARY" not in written


FORGED = "a\n2026-01-01 00:00:00,000 ERROR forged\x1b[31m\x9b\x7f\u202e\u2028\x85\r.wav"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_text_forges_a_line_or_rules_a_terminal(tmp_path, capsys, log_format):
    """A name in a message, an argument, an exception or a stack begins no line of its own, and a terminal obeys nothing
    of it."""
    configure(make_settings(tmp_path, foreground=True, log_format=log_format))
    logger = logging.getLogger("x")
    logger.warning("told %s", FORGED)
    logger.warning(FORGED, stack_info=True)
    try:
        raise ValueError(FORGED)
    except ValueError:
        logger.exception("failed")
    lines = capsys.readouterr().err.split("\n")
    assert lines.pop() == ""
    assert all(line.isprintable() for line in lines)
    entries = [line for line in lines if not line.startswith("    ")]
    assert len(entries) == 3
    assert not [line for line in lines if line.startswith("2026-01-01")]
    if log_format == "json":
        told, _stack, failed = map(json.loads, lines)
        assert told["message"] == f"told {FORGED}"
        assert "forged" in failed["exception"]
