"""A group of commands that suggests the nearest word for a wrong one.

It must not know commands.
"""

import difflib

import click


class SuggestingGroup(click.Group):
    """As every group of click's it takes a wrong word for wrong usage, and adds "did you mean" where one comes near."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names. Raises UsageError for a word that names none."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise click.UsageError(f"no such command: {args[0]}{did_you_mean(args[0], self.list_commands(ctx))}", ctx)
        return super().resolve_command(ctx, args)


def did_you_mean(word: str, known: list[str]) -> str:
    """`; did you mean umount`, or "" where no known word comes near."""
    near = difflib.get_close_matches(word.lower(), known, 1)
    return f"; did you mean {near[0]}" if near else ""
