"""Bundles: verify that one is whole, show what it holds and where it came from."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from service.client.commands.screen import Screen

bundle = typer.Typer(help=__doc__, no_args_is_help=True)

_BROKEN = 1

Folder = Annotated[Path, typer.Argument(help="What `tenantry export` wrote.", metavar="DIR")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@bundle.command()
def verify(folder: Folder, json: Json = False) -> None:
    """Read all of a bundle, open its graph on the CPU, and name each thing that is wrong.

    Looked at are the manifest, the digest of every file, the proof of every variant, the bill of
    materials, and the graph's inputs and outputs. Exits with 1 where anything is wrong, with 2
    where there is no such directory.
    """
    from service.bundle_tools.verification import verify as verify_bundle

    screen = Screen(json=json)
    with _a_folder(screen, folder):
        found = verify_bundle(folder)
    if json:
        screen.document(
            {
                "path": str(folder),
                "digest": found.digest,
                "whole": found.passed,
                "checks": [
                    {"name": one.name, "passed": one.passed, "problems": list(one.problems)}
                    for one in found.checks
                ],
            }
        )
    else:
        for one in found.checks:
            screen.line(f"{'ok   ' if one.passed else 'WRONG'} {one.name}: {one.looked_at}")
            for problem in one.problems:
                screen.line(f"      {problem}")
        screen.line(f"{folder} is {'whole' if found.passed else 'NOT whole'}: {found.digest}")
    if not found.passed:
        raise typer.Exit(_BROKEN)


@bundle.command()
def show(folder: Folder, json: Json = False) -> None:
    """Show what a bundle is: model, licence, targets, variants with their figures, sizes.

    Only the manifest is read; `verify` tells whether the rest is as it says.
    """
    from service.bundle_tools.showing import document_of, show_bundle

    screen = Screen(json=json)
    with _a_folder(screen, folder):
        if json:
            screen.document(document_of(folder))
        else:
            show_bundle(screen, folder)


@contextmanager
def _a_folder(screen: Screen, folder: Path) -> Iterator[None]:
    """End the command with 2 where there is no directory to look at."""
    if not folder.is_dir():
        screen.note(f"tenantry: {folder} is no directory; name what `tenantry export` wrote")
        raise typer.Exit(2)
    yield
