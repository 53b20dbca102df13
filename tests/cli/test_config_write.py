"""Edits of the config file, as a TOML parser finds them afterwards."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.cli.config_write import with_values
from cffs.cli.messages import Failed
from cffs.core.toml_text import is_writable, quoted

#: Every character, lone surrogates among them.
texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
values = st.dictionaries(st.sampled_from(["apikey", "login", "password"]), st.none() | texts)
profiles = st.none() | texts.filter(bool)
#: What a file may hold already: other tables, and the characters at which str.splitlines() splits.
LINES = (
    "# a comment of two words\u2028and a third",
    'v1_url = "a\u0085b"',
    "timeout = 20",
    "",
    'login = "old"',
)
TABLES = ('[profile.work]\napikey = "1"\n# mine', '["odd table"]\nlogin = "not ours"')


@given(st.lists(st.sampled_from(LINES), unique=True), st.lists(st.sampled_from(TABLES), unique=True), values, profiles)
def test_the_parser_finds_what_was_set_and_the_rest_as_it_was(lines, tables, changed, profile):
    """After an edit the table holds each new value as it was given, and everything else is as before; a second edit
    with these values changes nothing. What TOML cannot hold is refused in one line."""
    before = "\n".join([*lines, *tables])
    if not all(is_writable(value or "") for value in (*changed.values(), profile)):
        with pytest.raises(Failed, match="UTF-8"):
            with_values(before, changed, profile=profile)
        return
    after = with_values(before, changed, profile=profile)
    expected = tomllib.loads(before)
    is_made = any(value is not None for value in changed.values())
    if profile is None:
        table = expected
    elif profile in expected.get("profile", {}) or is_made:
        table = expected.setdefault("profile", {}).setdefault(profile, {})
    else:
        table = {}
    for name, value in changed.items():
        table.pop(name, None)
        if value is not None:
            table[name] = value
    assert tomllib.loads(after) == expected
    assert [line for line in lines if line.startswith("#") and line not in after] == []
    assert with_values(after, changed, profile=profile) == after


def test_what_cannot_be_edited_by_lines_is_refused():
    """A value over several lines is left alone: the user is asked to edit the file."""
    before = f'password = """\nlogin = {quoted("x")}\n"""\n'
    with pytest.raises(Failed, match="edit it by hand"):
        with_values(before, {"login": "y"}, profile=None)
