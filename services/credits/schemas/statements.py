"""A statement as a table for spreadsheets, and as the data of a printed one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from services.credits.domain.ledger import AccountKind, Transfer
from services.credits.domain.ledger_words import ACCOUNTS, TRANSFERS, shown_minutes
from services.credits.domain.statement_words import Link, describe_links, number_text, person_text, subject_text
from services.credits.domain.statements import Balances, Basis, Statement, StatementLine
from services.credits.domain.wording import hours_text
from services.credits.schemas.ledger import Asked
from services.credits.schemas.sheets import build_sheet, day_text, hours_number, instant_text

_COLUMNS = (
    "Date d'effet", "Date d'enregistrement", "Opération", "Mission", "Référence de la mission", "Bénévole", "Auteur", "Motif",
    "De", "Vers", "Minutes", "Heures",
)  # fmt: skip
_LINKS = ("Écriture", "Contre-passe", "Contre-passée par")
_BASES = {Basis.RECORDED: "par date d’enregistrement", Basis.EFFECTIVE: "par date d’effet"}


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


def list_named(statement: Statement) -> set[UUID]:
    """Whose names a printed statement gives where the registry told them: who is behind its lines, and whose accounts they
    move. People are numbers here: their names stay in the registry."""
    moved = [line.transfer for line in statement.lines]
    return {holder for one in moved for holder in (one.source.holder_id, one.target.holder_id)} | {
        id for one in moved if (id := _read_id(one.who))
    }


def _read_id(who: str) -> UUID | None:
    """None for a client's name, or the platform's."""
    try:
        return UUID(who)
    except ValueError:
        return None


def build_statement_document(statement: Statement, asked: Asked, *, town: str, names: Mapping[UUID, str]) -> dict[str, object]:
    """The data of documents/statement.typ: every figure as it is printed."""
    kinds = asked.scope.kinds
    told = {str(id): name for id, name in names.items()}
    return {
        "title": f"Relevé de compte – {asked.campaign.facts.title}",
        "territory": town,
        "holder": asked.holder_name
        or ("Toute la campagne" if asked.scope.holder_id is None else "Contributeur à titre personnel"),
        "facts": build_facts(asked, town=town),
        "kinds": [ACCOUNTS[kind] for kind in kinds],
        "subject": "Mission" if asked.scope.holder_id else "Mission, ou titulaire",
        "whom": "Bénévole, ou auteur",
        "opening_label": "Solde d’ouverture",
        "opening": _printed(statement.opening, kinds),
        "lines": [
            build_line(line.transfer, links)
            | {
                "kind": TRANSFERS[line.transfer.kind],
                "mission": _describe_subject(line, asked, told),
                "whom": _describe_person(line, told),
                "balances": _printed(after, kinds),
            }
            for line, after, links in zip(statement.lines, statement.after, list_links(statement, asked), strict=True)
        ],
        "closing_label": "Solde de clôture",
        "closing": _printed(statement.closing, kinds),
        "note": "Établi à partir du grand livre, à la minute près. Rien n’y est effacé : une erreur se corrige par une écriture "
        "contraire, qui figure à sa date. Le n° d’une écriture est la fin de son identifiant. Les personnes sont désignées par "
        "un numéro ; « par » précède qui a passé l’écriture (« Métis » : la plateforme elle-même).",
    }


def _describe_subject(line: StatementLine, asked: Asked, names: Mapping[str, str]) -> str:
    moved = line.transfer
    mission = line.mission_title or (str(moved.mission_id) if moved.mission_id else None)
    # Of one holder's statement, every line moves their own accounts.
    accounts = () if asked.scope.holder_id else (str(moved.target), str(moved.source))
    return subject_text(mission=mission, accounts=accounts, names=names)


def _describe_person(line: StatementLine, names: Mapping[str, str]) -> str:
    volunteer = str(line.volunteer_id) if line.volunteer_id else None
    return person_text(volunteer=volunteer, who=line.transfer.who, names=names)


def build_facts(asked: Asked, *, town: str) -> list[list[str]]:
    facts = [["Commune", town]]
    if asked.scope.holder_id is not None:
        facts.append(["Numéro du titulaire", str(asked.scope.holder_id)])
    since = f"{asked.since:%d/%m/%Y}" if asked.since else "le début de la campagne"
    facts.append(["Période", f"{since} – {f'{asked.until:%d/%m/%Y}' if asked.until else 'ce jour'}"])
    facts.append(["Ordre et période", _BASES[asked.basis]])
    if asked.as_of is not None:
        words = "tel qu’enregistré au" if asked.as_of.basis is Basis.RECORDED else "selon les dates d’effet, au"
        facts.append(["État", f"{words} {instant_text(asked.as_of.instant)}"])
    return facts


def list_links(statement: Statement, asked: Asked) -> Iterable[list[str]]:
    """For each line its own number, and those of what undid it or what it undoes."""
    links = [_link_of(line.transfer) for line in statement.lines]
    described = describe_links(links, is_present=asked.as_of is None)
    return [[number_text(link.id), *described[link.id]] for link in links]


def _link_of(moved: Transfer) -> Link:
    reverses, reversed_by = (str(id) if id else None for id in (moved.reverses, moved.reversed_by))
    return Link(str(moved.id), moved.minutes, reverses, reversed_by, moved.reversed_minutes)


def build_line(moved: Transfer, links: Sequence[str]) -> dict[str, object]:
    """What every printed statement says of a line; the day of its recording where it is not that of its effect."""
    effective, recorded = day_text(moved.effective_at), day_text(moved.recorded_at)
    return {
        "day": effective,
        "recorded": recorded if recorded != effective else "",
        "links": links,
        "why": moved.why,
        "hours": signed_hours(moved.minutes),
    }


def _printed(balances: Balances, kinds: Sequence[AccountKind]) -> list[str]:
    return [signed_hours(shown_minutes(kind, balances[kind])) for kind in kinds]


def signed_hours(minutes: int) -> str:
    return hours_text(minutes) if minutes >= 0 else f"−{hours_text(-minutes)}"
