"""The commands `cffs` and `mount.cffs`, and the boundary for failures.

It owns the table of commands, and that every failure is one line and an exit status. It must not know what a command
does.
"""

import errno
import io
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import click

import cffs
from cffs.cli.groups import SuggestingGroup
from cffs.cli.messages import Failed, one_line, tell
from cffs.core.errors import CffsError
from cffs.daemon.inherited_environment import repair_environment

#: Module, name and short help of each command; the module is imported when the command is used. A command without a
#: help of its own is named in another's, so that all of them fit a screen.
_COMMANDS = {
    "mount": ("cffs.cli.mount", "mount", "Mount an account's recordings and media."),
    "umount": ("cffs.cli.umount", "umount_command", "Unmount, and wait for the daemon to end."),
    "demo": ("cffs.cli.demo", "demo", "Mount an invented account, to look around; standin serves one."),
    "standin": ("cffs.cli.standin", "standin", ""),
    "login": ("cffs.cli.login", "login", "Store credentials in the config file; logout removes them."),
    "logout": ("cffs.cli.login", "logout", ""),
    "doctor": ("cffs.cli.doctor", "doctor", "Check this machine and the service; say how to mend."),
    "status": ("cffs.cli.status", "status", "What is mounted and how it is doing."),
    "prefetch": ("cffs.cli.prefetch", "prefetch", "Bring files into the disk cache ahead of use."),
    "cache": ("cffs.cli.cache", "cache", "Look after the disk cache."),
    "catalog": ("cffs.cli.catalog", "catalog", "Add recordings that nothing lists."),
    "search": ("cffs.cli.search", "search", "Find recordings by words and facts."),
    "notes": ("cffs.cli.notes", "notes", "Take transcripts in as notes."),
    "export": ("cffs.cli.export", "export", "Make a verifiable copy (a BagIt bag)."),
    "watch": ("cffs.cli.watch", "watch", "Print a line per new recording."),
    "why": ("cffs.cli.why", "why", "Show where a file comes from and what is here."),
    "verify": ("cffs.cli.verify", "verify", "Compare files with their manifest."),
    "config": ("cffs.cli.config_show", "config", "Show the settings; completion prints a shell's script."),
    "completion": ("cffs.cli.completion", "completion", ""),
    "help": ("cffs.cli.help", "help_command", "Show a document; alone, what there is."),
}


class _Commands(SuggestingGroup):
    """The group of all commands, each imported when it is used."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One screen: what cffs is, the commands, and where there is more help."""
        formatter.write_usage(ctx.command_path, "COMMAND [OPTIONS] [ARGS]...")
        self.format_help_text(ctx, formatter)
        self.format_commands(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text("`cffs COMMAND --help` says more, `cffs help` lists documents; --version.")

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None for an unknown word."""
        if cmd_name not in _COMMANDS:
            return None
        module, name, _ = _COMMANDS[cmd_name]
        command = getattr(import_module(module), name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, without importing any, and without a heading so that it fits a screen."""
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items() if text])


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
)
@click.version_option(cffs.__version__, prog_name="cffs", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """CallFire recordings and media as files."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)


def main() -> NoReturn:
    """The command `cffs`."""
    repair_environment()
    sys.exit(run(cli, sys.argv[1:], name="cffs"))


def main_mount_helper() -> NoReturn:
    """The command `mount.cffs`, which mount(8) runs for `-t cffs` and for /etc/fstab."""
    repair_environment()
    from cffs.cli.mount import mount_helper

    sys.exit(run(mount_helper, sys.argv[1:], name="mount.cffs"))


def run(command: click.Command, arguments: Sequence[str], *, name: str) -> int:
    """Run a command and return its exit status. Every failure is one line on stderr; a traceback needs --debug."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Unicode still gets readable lines
    # a command says itself what is wrong; without a handler Python would print warnings of the log as well
    logging.getLogger("cffs").addHandler(logging.NullHandler())
    debug = "--debug" in arguments or os.environ.get("CFFS_DEBUG", "").lower() in ("1", "yes", "true", "on")
    try:
        # click returns what the command returned, or the status of its own exits (--help)
        status = command.main(args=list(arguments), prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx is not None else name
        tell(f"{one_line(error.format_message()).rstrip('.')} (see {path} --help)")
        return 2
    except (Failed, CffsError, click.ClickException) as error:
        tell(str(error))
        return 1
    except (KeyboardInterrupt, click.Abort):
        tell("interrupted")
        return 1
    except BrokenPipeError:
        # the reader of our output is gone (`| head`), so no line is printed
        _give_up_stdout()
        return 1
    except Exception as error:  # the boundary of the command line: a bug is one line too
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            _drop_output()
            tell(f"the output could not be written: {error.strerror}")
            return 1
        if (reason := _unwritten()) is not None:
            _give_up_stdout()
            tell(f"cannot write the output: {reason}")
            return 1
        if debug:
            traceback.print_exc()
        # the type alone: the text of a foreign exception may hold a URL with a key
        logging.getLogger(__name__).debug("bug in a command", exc_info=error)
        tell(f"bug: {type(error).__name__}; run again with --debug and report it")
        return 1
    return status if isinstance(status, int) else 0


def _unwritten() -> str | None:
    """Why stdout cannot be written (a full disk, a closed stream), or None where it can."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        return error.strerror if isinstance(error, OSError) else str(error)
    return None


def _give_up_stdout() -> None:
    """Close stdout to the interpreter's last flush, which would complain about it once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _drop_output() -> None:
    """Send the rest of the output nowhere, so that the interpreter's last flush does not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
