"""A volunteer's hours: as data, as a table for spreadsheets, and as the data of a printed statement."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from services.credits.domain import ledger_words as words
from services.credits.domain.ledger import AccountKind, TransferKind
from services.credits.domain.statements import VOLUNTEER_ACCOUNTS, Balances, Basis, Statement, StatementLine, association_of
from services.credits.schemas.ledger import Asked
from services.credits.schemas.sheets import build_sheet, hours_number, instant_text
from services.credits.schemas.statements import build_facts, build_line, list_links, signed_hours

_COLUMNS = (
    "Date d'effet", "Date d'enregistrement", "Opération", "Mission", "Référence de la mission", "Association",
    "Référence de l'association", "Motif", "Minutes", "Heures",
)  # fmt: skip
_LINKS = ("Écriture", "Contre-passe", "Contre-passée par")

Names = Mapping[UUID, str]


class VolunteerStatementLineOut(BaseModel):
    transfer_id: UUID
    kind: TransferKind
    minutes: int
    mission_id: UUID
    mission_title: str | None
    association_id: UUID
    association_name: str | None
    why: str
    effective_at: datetime
    recorded_at: datetime
    reverses: UUID | None
    reversed_by: UUID | None = Field(description="The last reversal so far, if there are several.")
    reversed_minutes: int = Field(description="How much of it was undone so far.")
    balances_minutes: dict[AccountKind, int] = Field(description="Set aside and served, after this line.")


class VolunteerStatementOut(BaseModel):
    campaign_id: UUID
    campaign_title: str
    volunteer_id: UUID = Field(description="The member who serves (opaque id).")
    since: date | None
    until: date | None
    basis: Basis = Field(description="The time that opening, lines, order and closing go by.")
    as_of: datetime | None = Field(description="The instant up to which they count; null for the present.")
    opening_minutes: dict[AccountKind, int] = Field(description="Of the whole period, on every page.")
    lines: list[VolunteerStatementLineOut]
    closing_minutes: dict[AccountKind, int] = Field(
        description="Of the whole period, on every page: `held` is set aside for missions, `served` is validated."
    )
    next: datetime | None = Field(description="`cursor` of the page that follows; null on the last.")

    @classmethod
    def of(cls, statement: Statement, asked: Asked, *, names: Names) -> "VolunteerStatementOut":
        assert asked.scope.holder_id is not None
        return cls(
            campaign_id=asked.campaign.id,
            campaign_title=asked.campaign.facts.title,
            volunteer_id=asked.scope.holder_id,
            since=asked.since,
            until=asked.until,
            basis=asked.basis,
            as_of=asked.as_of.instant if asked.as_of else None,
            opening_minutes=dict(statement.opening),
            lines=[_line(line, after, names) for line, after in zip(statement.lines, statement.after, strict=True)],
            closing_minutes=dict(statement.closing),
            next=statement.next,
        )


def _line(line: StatementLine, after: Balances, names: Names) -> VolunteerStatementLineOut:
    moved, association_id = line.transfer, association_of(line.transfer)
    assert moved.mission_id is not None
    return VolunteerStatementLineOut(
        transfer_id=moved.id,
        kind=moved.kind,
        minutes=moved.minutes,
        mission_id=moved.mission_id,
        mission_title=line.mission_title,
        association_id=association_id,
        association_name=names.get(association_id),
        why=moved.why,
        effective_at=moved.effective_at,
        recorded_at=moved.recorded_at,
        reverses=moved.reverses,
        reversed_by=moved.reversed_by,
        reversed_minutes=moved.reversed_minutes,
        balances_minutes=dict(after),
    )


def build_volunteer_sheet(statement: Statement, *, names: Names) -> str:
    """Opening, one row a transfer, closing. Balances are in minutes: they add up without rounding."""
    header = [*_COLUMNS, *(f"{words.VOLUNTEER_ACCOUNTS[kind]} (minutes)" for kind in VOLUNTEER_ACCOUNTS), *_LINKS]
    return build_sheet(header, _rows(statement, names))


def _rows(statement: Statement, names: Names) -> Iterator[list[Any]]:
    blank = [None] * (len(_COLUMNS) - 3)
    none = [None] * len(_LINKS)
    yield [None, None, "Solde d'ouverture", *blank, *_minutes(statement.opening), *none]
    for line, after in zip(statement.lines, statement.after, strict=True):
        moved, association_id = line.transfer, association_of(line.transfer)
        yield [
            instant_text(moved.effective_at),
            instant_text(moved.recorded_at),
            words.VOLUNTEER_TRANSFERS[moved.kind],
            line.mission_title,
            moved.mission_id,
            names.get(association_id),
            association_id,
            moved.why,
            moved.minutes,
            hours_number(moved.minutes),
            *_minutes(after),
            moved.id,
            moved.reverses,
            moved.reversed_by,
        ]
    yield [None, None, "Solde de clôture", *blank, *_minutes(statement.closing), *none]


def _minutes(balances: Balances) -> Sequence[int]:
    return [balances[kind] for kind in VOLUNTEER_ACCOUNTS]


def build_volunteer_document(statement: Statement, asked: Asked, *, town: str, names: Names) -> dict[str, object]:
    """The data of documents/statement.typ: every figure as it is printed."""
    return {
        "title": f"Relevé d’heures – {asked.campaign.facts.title}",
        "territory": town,
        "holder": "Bénévole, pour les missions qu’il ou elle fait",
        "facts": build_facts(asked, town=town),
        "kinds": [words.VOLUNTEER_ACCOUNTS[kind] for kind in VOLUNTEER_ACCOUNTS],
        "subject": "Mission",
        "whom": "Association",
        "opening_label": "Solde d’ouverture",
        "opening": _printed(statement.opening),
        "lines": [
            build_line(line.transfer, links) | _describe(line, names) | {"balances": _printed(after)}
            for line, after, links in zip(statement.lines, statement.after, list_links(statement, asked), strict=True)
        ],
        "closing_label": "Solde de clôture",
        "closing": _printed(statement.closing),
        "note": "Établi à partir du grand livre, à la minute près. « Réservé » : convenu, pas encore validé ; « Fait » : validé"
        " par l’association. Rien n’est effacé : une erreur se corrige par une écriture contraire, qui figure à sa date."
        " Le n° d’une écriture est la fin de son identifiant.",
    }


def _printed(balances: Balances) -> list[str]:
    return [signed_hours(balances[kind]) for kind in VOLUNTEER_ACCOUNTS]


def _describe(line: StatementLine, names: Names) -> dict[str, object]:
    moved, association_id = line.transfer, association_of(line.transfer)
    return {
        "kind": words.VOLUNTEER_TRANSFERS[moved.kind],
        "mission": line.mission_title or str(moved.mission_id),
        "whom": names.get(association_id) or str(association_id),
    }
