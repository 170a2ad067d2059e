"""`metis ledger verify`: the books in this process, the chain in another beside it, one report."""

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from cli.ledger_verify.chain import ChainCheck
from cli.ledger_verify.comparing import check_books
from cli.ledger_verify.findings import Report, say
from cli.ledger_verify.head import Head, read_head

# Below it a second process costs more than it saves.
_LARGE_BYTES = 4 << 20
_SHOWN = 20
OK, DIFFERENT, UNUSABLE = 0, 1, 2


def verify(path: Path, *, head: Head | None = None, language: str = "fr", quiet: bool = True) -> Report:
    """Check a bundle. The report's findings come in the order of the ledger, the chain's before the books'."""
    if path.is_file() and path.stat().st_size > _LARGE_BYTES:
        # The books take four times as long: the other process has the time to start.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as beside:
            following = beside.submit(follow_chain, path, head, language, quiet)
            transfers, findings = check_books(path)
            try:
                report = following.result()
            except BrokenProcessPool:  # somebody ended it; then here
                report = follow_chain(path, head, language, quiet)
    else:
        report = follow_chain(path, head, language, quiet)
        transfers, findings = check_books(path)
    report.transfers = transfers
    report.findings = sorted([*report.findings, *findings], key=lambda finding: finding.order)
    return report


def follow_chain(path: Path, head: Head | None, language: str, quiet: bool) -> Report:
    def progress(rows: int) -> None:
        if not quiet:
            print(say(language, "progress", rows=rows), file=sys.stderr, flush=True)

    return ChainCheck(path, head=head, progress=progress).run()


def run(path: Path, *, head: str | None, as_json: bool, language: str) -> int:
    """Verify, print, and return the exit code: 0 unchanged, 1 changed, 2 not to be read."""
    given = read_head(head) if head else None
    if head and given is None:
        print(f"--head: {head} ?", file=sys.stderr)
        return UNUSABLE
    report = verify(path, head=given, language=language, quiet=as_json)
    if as_json:
        print(json.dumps(report.as_json(), ensure_ascii=False))
    else:
        print_report(report, language)
    if any(finding.kind == "unreadable" and finding.block is None for finding in report.findings):
        return UNUSABLE
    return OK if report.ok else DIFFERENT


def print_report(report: Report, language: str) -> None:
    def tell(word: str, **facts: object) -> None:
        print(say(language, word, **facts))

    if report.ok:
        tell("ok", rows=report.rows, blocks=report.blocks, transfers=report.transfers)
    else:
        tell("bad", count=len(report.findings))
        print("  " + report.findings[0].text(language))
        if len(report.findings) > 1:
            tell("others")
        for finding in report.findings[1:_SHOWN]:
            print("  " + finding.text(language))
    if report.unsealed:
        tell("unsealed", rows=report.unsealed)
    if not report.blocks:
        tell("nothing")
        return
    tell("head", number=report.head_number, hash=report.head_hash)
    tell("key_id", keys=", ".join(report.key_ids))
    if not report.head_given:
        tell("no_head")


def main(arguments: list[str] | None = None) -> int:
    """The same without the rest of the command line: `python -m cli.ledger_verify BUNDLE`."""
    parser = argparse.ArgumentParser(prog="ledger_verify", description=say.__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--head")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--lang", choices=["fr", "en"], default="en" if os.environ.get("LANG", "fr").startswith("en") else "fr")
    given = parser.parse_args(arguments)
    return run(given.bundle, head=given.head, as_json=given.json, language=given.lang)
