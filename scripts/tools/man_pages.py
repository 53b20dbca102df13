"""The man pages cffs(1) and mount.cffs(8), and the table of commands.

It owns how Markdown and click's help become roff. It must not hold sentences of its own: each is a help text or a
section of a document, so that nothing is written twice.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

import cffs
from cffs.cli.main import cli
from cffs.cli.mount import mount_helper
from cffs.core.settings_options import OPTIONS

ROOT: Final = Path(__file__).resolve().parents[2]
DOCUMENTS: Final = ROOT / "cffs/docs"
_TABLE_OPTIONS: Final = {option.name for option in OPTIONS}
_GENERATED: Final = re.compile(r"<!-- (\w+): made by .*? -->.*?<!-- /\1 -->\n?", re.DOTALL)


def commands() -> Iterator[tuple[click.Context, click.Command]]:
    """Every command and group below `cffs`, in the order of the help, with the context that spells its usage."""
    root = click.Context(cli, info_name="cffs")
    yield from _below(root, cli)


def _below(context: click.Context, group: click.Group) -> Iterator[tuple[click.Context, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            raise ValueError(f"no command {name}")
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _below(inner, command)
        else:
            yield inner, command


def usage(context: click.Context, command: click.Command) -> str:
    """How a command is typed, such as `cffs cache prune [OPTIONS]`."""
    return " ".join([context.command_path, *command.collect_usage_pieces(context)])


def paragraphs(command: click.Command) -> list[str]:
    """The paragraphs of a command's help, each on one line."""
    return [" ".join(part.split()) for part in (command.help or "").replace("\b", "").split("\n\n") if part.strip()]


def own_options(context: click.Context, command: click.Command) -> Iterator[tuple[str, str]]:
    """The options that belong to this command alone: how each is spelt, and its help."""
    shared = {*_TABLE_OPTIONS, "option_lists"} if takes_settings(command) else set()
    for parameter in command.params:
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None and parameter.name not in shared:
            yield record


def takes_settings(command: click.Command) -> bool:
    """True for a command that takes the options of the mount."""
    return {"timeout", "v1_url"} <= {parameter.name for parameter in command.params}


def section(document: str, heading: str) -> str:
    """The text below a heading of a document, up to the next heading of its level, without generated parts."""
    text = (DOCUMENTS / document).read_text()
    match = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^\1 |^#{{1,2}} |\Z)", text, re.MULTILINE | re.DOTALL)
    if match is None:
        raise ValueError(f"{document} has no heading {heading}")
    return _GENERATED.sub("", match[2]).strip()


def roff(markdown: str) -> str:
    """A section of a document as roff: paragraphs, lists, code blocks, two-column tables, bold and code."""
    blocks = []
    for block in re.split(r"\n\n+(?=\S)", markdown):
        if block.startswith("```"):
            blocks.append(".PP\n.nf\n.RS\n" + _escaped("\n".join(block.splitlines()[1:-1])) + "\n.RE\n.fi")
        elif block.startswith("#"):
            blocks.append(f".SS {_inline(block.lstrip('# '))}")
        elif re.match(r"\* |\d+\. ", block):
            items = re.split(r"^(?:\* |\d+\. )", block, flags=re.MULTILINE)[1:]
            blocks += [f".IP \\(bu 2\n{_inline(' '.join(item.split()))}" for item in items]
        else:
            blocks.append(f".PP\n{_inline(' '.join(block.split()))}")
    return "\n".join(blocks)


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("…", "...").replace("—", "\\(em")
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line for line in text.split("\n"))


def _inline(text: str) -> str:
    text = re.sub(r"\[([^\]]+)\]\(([a-z]+)\.md[^)]*\)", r"\1 (`cffs help \2`)", text)
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text)
    text = _escaped(text)
    text = re.sub(r"\*\*([^*]+)\*\*", r"\\fB\1\\fR", text)
    return re.sub(r"`([^`]+)`", r"\\fB\1\\fR", text)


def _head(name: str, number: int, title: str) -> list[str]:
    return [
        '.\\" Made by scripts/documents; do not edit.',
        f'.TH {name.upper()} {number} "" "cffs {cffs.__version__}"',
        ".SH NAME",
        f"{name} \\- {_inline(title)}",
    ]


def _options(pairs: Iterator[tuple[str, str]]) -> Iterator[str]:
    for spelt, text in pairs:
        yield f".TP\n\\fB{_escaped(spelt)}\\fR\n{_inline(text)}"


def cffs_1() -> str:
    """The page of the command `cffs`: every command, every option, settings, files and exit status."""
    lines = _head("cffs", 1, "call recordings and media of a CallFire account as files")
    lines += [".SH SYNOPSIS", "\\fBcffs\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR] [\\fIARGS\\fR]...", ".SH DESCRIPTION"]
    lines += [
        roff((ROOT / "README.md").read_text().split("\n\n")[1]),
        roff(section("operations.md", "Commands").partition("\n\n### ")[0]),
    ]
    lines += [".SH COMMANDS"]
    for context, command in commands():
        lines += [f".SS {_inline(usage(context, command))}", *(f".PP\n{_inline(text)}" for text in paragraphs(command))]
        lines += _options(own_options(context, command))
        if takes_settings(command):
            lines += [".PP\nTakes the options below as well."]
    lines += [".SH OPTIONS", roff((DOCUMENTS / "options.md").read_text().split("\n\n")[1])]
    lines += _options((f"{option.flag} {option.metavar}".rstrip(), option.help) for option in OPTIONS)
    lines += [
        ".SH SETTINGS",
        roff(_GENERATED.sub("", (DOCUMENTS / "options.md").read_text()).split("\n\n", 2)[2].strip()),
    ]
    for title, heading in (("FILES", "Files"), ("EXIT STATUS", "Exit status"), ("TROUBLESHOOTING", "Troubleshooting")):
        lines += [f".SH {title}", _without_tables(section("operations.md", heading))]
    lines += [
        ".SH SEE ALSO",
        "\\fBmount.cffs\\fR(8), \\fBfusermount3\\fR(1), and the documents that \\fBcffs help\\fR lists",
    ]
    return "\n".join(lines) + "\n"


def _without_tables(markdown: str) -> str:
    """A table of three columns as paragraphs: what one sees, what it is, what to do."""
    parts = []
    for block in re.split(r"\n\n+(?=\S)", markdown):
        if not block.startswith("|"):
            parts.append(roff(block))
            continue
        for row in block.splitlines()[2:]:
            seen, meaning, advice = (cell.strip() for cell in row.strip("|").split(" | "))
            parts.append(f".TP\n{_inline(seen)}\n{_inline(meaning[0].upper() + meaning[1:])}: {_inline(advice)}.")
    return "\n".join(parts)


def mount_cffs_8() -> str:
    """The page of `mount.cffs`, which mount(8) and /etc/fstab call."""
    context = click.Context(mount_helper, info_name="mount.cffs")
    lines = _head("mount.cffs", 8, "mount a CallFire account by mount(8) or /etc/fstab")
    lines += [".SH SYNOPSIS", f"\\fBmount.cffs\\fR {_inline(' '.join(mount_helper.collect_usage_pieces(context)))}"]
    lines += [".SH DESCRIPTION", *(f".PP\n{_inline(text)}" for text in paragraphs(mount_helper))]
    lines += [".SH OPTIONS", *_options(own_options(context, mount_helper))]
    lines += [".SH FSTAB", roff(section("operations.md", "In /etc/fstab"))]
    lines += [".SH EXIT STATUS", roff(section("operations.md", "Exit status"))]
    lines += [".SH SEE ALSO", "\\fBcffs\\fR(1), \\fBmount\\fR(8), \\fBfstab\\fR(5)"]
    return "\n".join(lines) + "\n"


def commands_table() -> str:
    """Every command's usage and the first paragraph of its help, for operations.md."""
    rows = ["| command | what it does |", "|---|---|"]
    for context, command in commands():
        rows.append(f"| `{usage(context, command).replace('|', chr(92) + '|')}` | {paragraphs(command)[0]} |")
    return "\n".join(rows) + "\n"


#: File below cffs/docs/man -> what renders it.
PAGES: Final = {"cffs.1": cffs_1, "mount.cffs.8": mount_cffs_8}
