"""`python -m bench.matching COMMAND …`: one module a command, each with `add_arguments(parser)` and `run(arguments)`.

Every command prints tables for people, then one JSON object on its last line. With `--keep` that object is kept in `docs/plots/`,
and `plots` draws docs/matching.md's figures of what is kept there.
"""

import argparse
import json
from importlib import import_module

from bench.report import KEPT

COMMANDS = {
    "round": ("bench.matching.round", "an allocation round against the plain way, greedy and linear programming"),
    "one_answer": ("bench.matching.one_answer", "the best offers of one need out of an index, against the bare indexed query"),
    "tagging": ("bench.matching.tagging", "from texts to skills and fits, each method alone and together"),
    "links": ("bench.matching.links", "the French text model as a retriever, each method alone and together"),
    "plots": ("bench.matching.plots", "draw what was kept"),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.matching", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary)
        command.add_argument("--keep", metavar="NAME", help="keep the result as docs/plots/NAME.json")
        import_module(module).add_arguments(command)
    arguments = parser.parse_args()
    result = import_module(COMMANDS[arguments.command][0]).run(arguments)
    if arguments.keep:
        KEPT.mkdir(exist_ok=True)
        (KEPT / f"{arguments.keep}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
