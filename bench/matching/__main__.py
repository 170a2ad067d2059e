"""`python -m bench.matching COMMAND …`: one module a command, each with `add_arguments(parser)` and `run(arguments)`.

Every command prints tables for people, then one JSON object on its last line.
"""

import argparse
from importlib import import_module

COMMANDS = {
    "round": ("bench.matching.round", "an allocation round against the plain way, greedy and linear programming"),
    "one_answer": ("bench.matching.one_answer", "the best offers of one need out of an index, against the bare indexed query"),
    "tagging": ("bench.matching.tagging", "from texts to skills and fits, each method alone and together"),
    "links": ("bench.matching.links", "the French text model as a retriever, each method alone and together"),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.matching", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (module, summary) in COMMANDS.items():
        import_module(module).add_arguments(commands.add_parser(name, help=summary))
    arguments = parser.parse_args()
    import_module(COMMANDS[arguments.command][0]).run(arguments)


if __name__ == "__main__":
    main()
