"""Help: pages that fit a screen, documents by topic, and near misses."""

import os
import pty
import re
import subprocess
import sys
from importlib.resources import files

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cffs.cli.groups import did_you_mean
from cffs.cli.main import cli
from cffs.cli.options import given_options
from cffs.core.settings_options import OPTIONS
from tests.cli.helpers import cffs, environment, one_line

ROWS, COLUMNS = 24, 80


def commands(command: click.Command, words: tuple[str, ...] = ()) -> dict[tuple[str, ...], click.Command]:
    """Every command below this one, itself included, by its words."""
    found = {words: command}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None, name
            found |= commands(below, (*words, name))
    return found


ALL = commands(cli)


def page(words: tuple[str, ...]) -> str:
    """The help of a command on a terminal of 80 columns."""
    parent = None
    command: click.Command = cli
    for depth in range(len(words) + 1):
        command = ALL[words[:depth]]
        parent = click.Context(
            command, info_name=words[depth - 1] if depth else "cffs", parent=parent, max_content_width=COLUMNS
        )
    assert parent is not None
    return command.get_help(parent)


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_page_fits_a_screen(words):
    """The help of every command, those of groups included, is at most 24 lines of 80 columns."""
    lines = page(words).splitlines()
    assert len(lines) <= ROWS - 1, "and the prompt"
    assert max(map(len, lines)) <= COLUMNS


def test_pages_from_outside(tmp_path):
    """Help goes to stdout with status 0, and `cffs help COMMAND` prints that page too."""
    for words in ([], ["mount"], ["cache", "prune"]):
        done = cffs(tmp_path, *words, "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout.splitlines()) < ROWS
        if words:
            assert cffs(tmp_path, "help", *words).stdout == done.stdout


def test_an_account_s_options_show_five(tmp_path):
    """A command that takes the mount's options shows five of them, accepts all, and says where all are listed."""
    taking = {words: one for words, one in ALL.items() if {"timeout", "v1_url"} <= {p.name for p in one.params}}
    assert {("mount",), ("login",), ("doctor",), ("watch",), ("cache", "stats")} <= set(taking)
    for words, command in taking.items():
        assert {option.name for option in OPTIONS} <= {parameter.name for parameter in command.params}, words
        shown = page(words)
        assert sum(f"  {option.flag} " in shown for option in OPTIONS) == 5, words
        assert "cffs help options" in shown


def test_options_that_are_not_shown_are_taken():
    """An option that the help does not show reaches the command as the others do."""
    command = ALL["mount",]
    given_words = ["--timeout", "7", "--dir-ttl=3", "--xattrs", "-o", "umask=022", "somewhere"]
    with command.make_context("mount", given_words) as context:
        assert given_options(context.params) == {"timeout": "7", "dir_ttl": "3", "xattrs": True, "umask": "022"}


def test_hidden_options_complete(tmp_path):
    """An option that the help does not show is completed."""
    words = {"COMP_WORDS": "cffs mount --time", "COMP_CWORD": "2", "_CFFS_COMPLETE": "bash_complete"}
    command = [sys.executable, "-P", "-m", "cffs.cli"]
    told = subprocess.run(command, env=environment(tmp_path, **words), capture_output=True, text=True, timeout=60)
    assert {"--timeout", "--timezone"} <= {line.partition(",")[2] for line in told.stdout.splitlines()}


def test_options_are_listed_once(tmp_path):
    """`cffs help options` has each option with its one help text."""
    listed = cffs(tmp_path, "help", "options").stdout
    for option in OPTIONS:
        assert len(re.findall(rf"^{option.flag}\b(?![\w-]).*{re.escape(option.help)}$", listed, re.MULTILINE)) == 1


def test_documents(tmp_path):
    """`cffs help` lists every document with its title, and shows each without the marks of what generates it."""
    names = sorted(item.name for item in files("cffs.docs").iterdir() if item.name.endswith(".md"))
    listed = cffs(tmp_path, "help")
    assert listed.returncode == 0
    for name in names:
        topic = name.removesuffix(".md")
        shown = cffs(tmp_path, "help", topic).stdout
        title = shown.partition("\n")[0]
        assert title.startswith("# ")
        assert re.search(rf"^  {topic} +{re.escape(title[2:])}$", listed.stdout, re.MULTILINE), topic
        assert "<!--" not in shown


def test_a_terminal_gets_a_pager(tmp_path):
    """On a terminal a document goes through the user's pager."""
    master, slave = pty.openpty()
    variables = environment(tmp_path, PAGER="tr a-z A-Z", TERM="xterm")
    command = [sys.executable, "-P", "-m", "cffs.cli", "help", "options"]
    child = subprocess.Popen(command, env=variables, stdin=slave, stdout=slave, stderr=slave, cwd=tmp_path)
    os.close(slave)
    seen = b""
    while True:
        try:
            seen += os.read(master, 4096)
        except OSError:
            break
    os.close(master)
    assert child.wait(30) == 0
    assert b"# OPTIONS" in seen


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["unmount", "x"], "umount"),
        (["Mount", "x"], "mount"),
        (["logn"], "login"),
        (["statu"], "status"),
        (["cache", "stat"], "stats"),
        (["catalog", "imprt"], "import"),
        (["config", "shwo"], "show"),
        (["help", "option"], "options"),
        (["help", "cache", "purge"], "prune"),
        (["mount", "--cache-siz", "1G", "x"], "--cache-size"),
        (["mount", "-o", "ro,cachesize=1G", "x"], "did you mean cache_size"),
    ],
)
def test_near_misses(tmp_path, typed, meant):
    """A word that comes near a command, a topic or an option is wrong usage that names what was meant, in one line."""
    assert meant in one_line(cffs(tmp_path, *typed), 2)


def test_no_near_miss(tmp_path):
    """A word that comes near no other gets no suggestion."""
    assert "did you mean" not in one_line(cffs(tmp_path, "zzz"), 2)
    assert "did you mean" not in one_line(cffs(tmp_path, "help", "zzz"), 2)


@given(st.text(max_size=30))
def test_hints_for_any_word(word):
    """Any word gets no suggestion, or one of the known words."""
    known = ["mount", "umount", "status"]
    assert did_you_mean(word, known) in {"", *(f"; did you mean {one}" for one in known)}
