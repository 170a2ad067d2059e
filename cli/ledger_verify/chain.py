"""Follows the chain through the bundle, from its first block to the head, and compares each block with its rows."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from cli.ledger_verify.bundle import Part, Unreadable, read_parts
from cli.ledger_verify.findings import Finding, Report
from cli.ledger_verify.head import Head
from cli.ledger_verify.proof import Block, Chain, hash_rows, key_id
from cli.ledger_verify.rows import Sleuth, read_shapes

FORMATS = frozenset({1})
_PROGRESS_SECONDS = 2.0
_PARTS = frozenset({"block", "unsealed", "state", "end"})


class ChainCheck:
    """One pass over the file. `report` is complete after `run`."""

    def __init__(self, path: Path, *, head: Head | None, progress: Callable[[int], None] = lambda rows: None) -> None:
        self.report = Report(head_given=head is not None)
        self._path = path
        self._head = head
        self._progress = progress
        self._head_seen = False
        self._told = time.monotonic()
        self._last: tuple[int, str] = (0, "")

    def run(self) -> Report:
        try:
            self._follow()
        except Unreadable as error:
            self.report.findings.append(Finding("unreadable", detail=str(error)))
        return self.report

    def _follow(self) -> None:
        parts = read_parts(self._path)
        opening = next(parts)
        if opening.name != "bundle" or opening.fields.get("format") not in FORMATS:
            raise Unreadable(f"no bundle of a known format: {opening.name} {opening.fields.get('format')}")
        report = self.report
        report.territory = str(opening.fields.get("territory", ""))
        chain, sleuth = Chain(report.territory), Sleuth(read_shapes(opening.fields.get("tables", {})))
        ended = False
        for part in parts:
            if part.name == "block":
                report.findings += self._check_block(part, chain, sleuth)
            elif part.name == "unsealed":
                report.unsealed += len(part.rows)
                sleuth.look_unsealed(part.rows, last=self._last)
            elif part.name not in _PARTS:
                raise Unreadable(f"unknown part: {part.name}")
            ended = part.name == "end"
        report.findings += sleuth.conclude(last=self._last)
        if not ended:
            report.findings.append(Finding("truncated"))
        self._check_head(chain)

    def _check_block(self, part: Part, chain: Chain, sleuth: Sleuth) -> Iterator[Finding]:
        try:
            block = Block(part.fields)
            leaves = hash_rows(part.rows)
            sealed = block.leaves
            fits = b"".join(leaves) == sealed
            # The block first: what it says of its rows is worth nothing unless it is as it was signed.
            wrong = chain.check(block, rows=part.rows, name=sleuth.ref)
            if wrong is not None:
                yield wrong
            elif not fits:
                yield from sleuth.look(block, part.rows, leaves)
            self._note(block, len(part.rows))
        except (KeyError, ValueError, TypeError) as error:
            number = part.fields.get("number")
            yield Finding(
                "unreadable", block=number if isinstance(number, int) else None, detail=f"{type(error).__name__}: {error}"
            )

    def _note(self, block: Block, rows: int) -> None:
        report = self.report
        report.blocks += 1
        report.rows += rows
        report.head_number, report.head_hash = block.number, block.fields["hash"]
        self._last = (int(block.fields["last_xact"]), block.fields["last_table"])
        if (name := key_id(block.fields["public_key"])) not in report.key_ids:
            report.key_ids.append(name)
        if self._head is not None and block.fields["hash"] == self._head.hash:
            self._head_seen = True
        if time.monotonic() - self._told > _PROGRESS_SECONDS:
            self._told = time.monotonic()
            self._progress(report.rows)

    def _check_head(self, chain: Chain) -> None:
        head = self._head
        if head is not None and not self._head_seen:
            last = chain.previous.number if chain.previous else 0
            self.report.findings.append(Finding("head-missing", block=head.number, expected=head.hash, found=f"… {last}"))
