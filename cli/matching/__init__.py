"""`metis match`: what matching knows and does, and what it is worth on labelled files."""

from cli.matching import explaining_commands
from cli.matching.commands import match_app
from cli.matching.skill_commands import skills_app, suggest

__all__ = ["match_app"]

match_app.add_typer(skills_app, name="skills")
match_app.command("suggest")(suggest)
explaining_commands.add_to(match_app)
