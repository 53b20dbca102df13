"""`cffs completion`: the script that completes commands, options, folders.

It must not know commands: click knows them.
"""

import click
from click.shell_completion import get_completion_class

_INSTALL = {
    "bash": "~/.local/share/bash-completion/completions/cffs",
    "zsh": "a folder of $fpath, as _cffs",
    "fish": "~/.config/fish/completions/cffs.fish",
}


@click.command(short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(list(_INSTALL)))
@click.pass_context
def completion(context: click.Context, shell: str) -> int:
    """Print the completion script of SHELL: put it where that shell looks.

    bash: ~/.local/share/bash-completion/completions/cffs; fish: ~/.config/fish/completions/cffs.fish;
    zsh: a folder of $fpath, as _cffs.
    """
    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"no completion for {shell}")
    root = context.find_root().command
    click.echo(made(root, {}, "cffs", "_CFFS_COMPLETE").source())
    return 0
