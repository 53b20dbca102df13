"""`cffs help`: the documents by topic, and the help of each command.

It must not know what a document says: every `cffs/docs/*.md` is a topic, and its first line the title.
"""

import re
import sys
from importlib.resources import files

import click
from click.shell_completion import CompletionItem

from cffs.cli.groups import did_you_mean

_SUFFIX = ".md"
#: Marks that `scripts/documents` writes around generated parts.
_MARKER = re.compile(r"^<!--.*-->\n", re.MULTILINE)


def _complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    commands = _root_commands(context)
    return [CompletionItem(word) for word in (*topics(), *commands) if word.startswith(incomplete)]


@click.command("help", short_help="Show a document; alone, what there is.")
@click.argument("words", nargs=-1, metavar="[TOPIC | COMMAND]", shell_complete=_complete)
@click.pass_context
def help_command(context: click.Context, words: tuple[str, ...]) -> int:
    """Show the document on TOPIC, or the help of COMMAND; alone, the topics."""
    if not words:
        _show(_contents())
    elif len(words) == 1 and words[0].lower().removesuffix(_SUFFIX) in topics():
        _show(document(words[0].lower().removesuffix(_SUFFIX)))
    else:
        _show(_help_of(context, words))
    return 0


def topics() -> dict[str, str]:
    """Topic to title, in alphabetical order."""
    found = sorted(item.name for item in files("cffs.docs").iterdir() if item.name.endswith(_SUFFIX))
    return {name.removesuffix(_SUFFIX): _title(document(name.removesuffix(_SUFFIX))) for name in found}


def document(topic: str) -> str:
    """The text of a topic as a terminal shows it, without marks."""
    return _MARKER.sub("", (files("cffs.docs") / f"{topic}{_SUFFIX}").read_text(encoding="utf-8"))


def _title(text: str) -> str:
    return text.partition("\n")[0].lstrip("# ")


def _contents() -> str:
    found = topics()
    width = max(map(len, found))
    lines = [f"  {topic:<{width}}  {title}" for topic, title in found.items()]
    more = "`cffs COMMAND --help` describes one command, `man cffs` all of them."
    return "\n".join(["Topics of `cffs help`:", *lines, "", more, ""])


def _root_commands(context: click.Context) -> list[str]:
    root = context.find_root().command
    return root.list_commands(context) if isinstance(root, click.Group) else []


def _help_of(context: click.Context, words: tuple[str, ...]) -> str:
    """The help of the command that the words name. Raises UsageError where they name none."""
    root = context.find_root()
    command, found = root.command, root
    for word in words:
        below = command.get_command(found, word) if isinstance(command, click.Group) else None
        if below is None:
            known = command.list_commands(found) if isinstance(command, click.Group) else []
            hint = did_you_mean(word, [*(topics() if command is root.command else ()), *known])
            raise click.UsageError(f"no topic and no command {' '.join(words)}{hint}")
        command, found = below, click.Context(below, info_name=word, parent=found)
    return f"{command.get_help(found)}\n"


def _show(text: str) -> None:
    """Print the text, on a terminal through the user's pager."""
    if sys.stdout.isatty():
        click.echo_via_pager(text)
    else:
        click.echo(text, nl=False)
