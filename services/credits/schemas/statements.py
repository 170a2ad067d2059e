"""A statement as a table for spreadsheets, and as the data of a printed one."""

from collections.abc import Iterator, Sequence
from typing import Any

from services.credits.domain.ledger import AccountKind
from services.credits.domain.ledger_words import ACCOUNTS, TRANSFERS, shown_minutes
from services.credits.domain.statements import Balances, Basis, Statement, StatementLine
from services.credits.domain.wording import hours_text
from services.credits.schemas.ledger import Asked
from services.credits.schemas.sheets import build_sheet, day_text, hours_number, instant_text

_COLUMNS = (
    "Date d'effet", "Date d'enregistrement", "Opération", "Mission", "Référence de la mission", "Bénévole", "Auteur", "Motif",
    "De", "Vers", "Minutes", "Heures",
)  # fmt: skip
_LINKS = ("Écriture", "Contre-passe", "Contre-passée par")


def build_statement_sheet(statement: Statement, asked: Asked) -> str:
    """Opening, one row a transfer, closing. Balances are in minutes: they add up without rounding."""
    kinds = asked.scope.kinds
    header = [*_COLUMNS, *(f"{ACCOUNTS[kind]} (minutes)" for kind in kinds), *_LINKS]
    return build_sheet(header, _rows(statement, kinds))


def _rows(statement: Statement, kinds: Sequence[AccountKind]) -> Iterator[list[Any]]:
    blank = [None] * (len(_COLUMNS) - 3)
    none = [None] * len(_LINKS)
    yield [None, None, "Solde d'ouverture", *blank, *_shown(statement.opening, kinds), *none]
    for line, after in zip(statement.lines, statement.after, strict=True):
        transfer = line.transfer
        yield [
            instant_text(transfer.effective_at),
            instant_text(transfer.recorded_at),
            TRANSFERS[transfer.kind],
            line.mission_title,
            transfer.mission_id,
            line.volunteer_id,
            transfer.who,
            transfer.why,
            str(transfer.source),
            str(transfer.target),
            transfer.minutes,
            hours_number(transfer.minutes),
            *_shown(after, kinds),
            transfer.id,
            transfer.reverses,
            transfer.reversed_by,
        ]
    yield [None, None, "Solde de clôture", *blank, *_shown(statement.closing, kinds), *none]


def _shown(balances: Balances, kinds: Sequence[AccountKind]) -> list[int]:
    return [shown_minutes(kind, balances[kind]) for kind in kinds]


def build_statement_document(statement: Statement, asked: Asked, *, town: str) -> dict[str, object]:
    """The data of documents/statement.typ: every figure as it is printed."""
    kinds = asked.scope.kinds
    return {
        "title": f"Relevé de compte – {asked.campaign.facts.title}",
        "territory": town,
        "holder": asked.holder_name
        or ("Toute la campagne" if asked.scope.holder_id is None else "Contributeur à titre personnel"),
        "facts": build_facts(asked, town=town),
        "kinds": [ACCOUNTS[kind] for kind in kinds],
        "whom": "Bénévole",
        "opening_label": "Solde d’ouverture",
        "opening": _printed(statement.opening, kinds),
        "lines": [_printed_line(line, after, kinds) for line, after in zip(statement.lines, statement.after, strict=True)],
        "closing_label": "Solde de clôture",
        "closing": _printed(statement.closing, kinds),
        "note": "Établi à partir du grand livre, à la minute près. Rien n’y est effacé : une erreur se corrige par une écriture "
        "contraire, qui figure à sa date. Les personnes sont désignées par un numéro.",
    }


def build_facts(asked: Asked, *, town: str) -> list[list[str]]:
    facts = [["Commune", town]]
    if asked.scope.holder_id is not None:
        facts.append(["Numéro du titulaire", str(asked.scope.holder_id)])
    since = f"{asked.since:%d/%m/%Y}" if asked.since else "le début de la campagne"
    facts.append(["Période", f"{since} – {f'{asked.until:%d/%m/%Y}' if asked.until else 'ce jour'}"])
    if asked.as_of is not None:
        words = "tel qu’enregistré au" if asked.as_of.basis is Basis.RECORDED else "selon les dates d’effet, au"
        facts.append(["État", f"{words} {instant_text(asked.as_of.instant)}"])
    return facts


def _printed(balances: Balances, kinds: Sequence[AccountKind]) -> list[str]:
    return [signed_hours(shown_minutes(kind, balances[kind])) for kind in kinds]


def signed_hours(minutes: int) -> str:
    return hours_text(minutes) if minutes >= 0 else f"−{hours_text(-minutes)}"


def _printed_line(line: StatementLine, after: Balances, kinds: Sequence[AccountKind]) -> dict[str, object]:
    return {
        "day": day_text(line.transfer.effective_at),
        "kind": TRANSFERS[line.transfer.kind],
        "mission": line.mission_title or (str(line.transfer.mission_id) if line.transfer.mission_id else ""),
        "whom": str(line.volunteer_id or ""),
        "why": line.transfer.why,
        "hours": signed_hours(line.transfer.minutes),
        "balances": _printed(after, kinds),
    }
