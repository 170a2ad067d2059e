"""`metis match`: what matching knows and does, from the command line."""

import typer

from cli.console import TeachingGroup
from cli.matching import explaining_commands
from cli.matching.skill_commands import skills_app, suggest

match_app = typer.Typer(
    cls=TeachingGroup, no_args_is_help=True, help="Mise en relation (matching) : compétences, textes, propositions."
)
match_app.add_typer(skills_app, name="skills")
match_app.command("suggest")(suggest)
explaining_commands.add_to(match_app)
