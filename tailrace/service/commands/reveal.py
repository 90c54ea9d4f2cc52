"""`tailrace reveal TOKEN…`: what tokens of `tokenise` stand for."""

from __future__ import annotations

from pathlib import Path

import click

from config.load import load_project
from config.project import Project
from transforms.protect.keys import parsed
from transforms.protect.tokens import Tokeniser


@click.command()
@click.argument("tokens", nargs=-1, required=True)
@click.pass_obj
def command(directory: Path, tokens: tuple[str, ...]) -> None:
    """Show what each TOKEN stands for, one a line, with the keys that tailrace.yml names.

    Exit code 2 where one is no token of these keys.
    """
    tokenisers = _tokenisers(load_project(directory))
    for number, token in enumerate(tokens, 1):
        click.echo(_revealed(tokenisers, token, number))


def _tokenisers(project: Project) -> list[Tokeniser]:
    names = {
        rule.key
        for target in project.targets.values()
        for rule in target.protect.rules
        if rule.action == "tokenise"
    }
    found = [project.keys[name] for name in sorted(filter(None, names))]
    return [Tokeniser(parsed(key.current), [parsed(old) for old in key.previous]) for key in found]


def _revealed(tokenisers: list[Tokeniser], token: str, number: int) -> str:
    why = "the project tokenises nothing"
    for tokeniser in tokenisers:
        try:
            return tokeniser.reveal(token)
        except ValueError as error:
            why = str(error)
    raise click.UsageError(f"token {number} cannot be revealed: {why}")
