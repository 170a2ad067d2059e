"""`metis match`: what matching knows and does, from the command line."""

import typer

from cli.console import TeachingGroup
from cli.matching import explaining_commands

match_app = typer.Typer(
    cls=TeachingGroup, no_args_is_help=True, help="Mise en relation (matching) : compétences, textes, propositions."
)
explaining_commands.add_to(match_app)
