"""A campaign's report for people: the pages of a PDF, and a table for a spreadsheet, both from the text that is signed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from fractions import Fraction
from typing import Any

from kernel.clock import local_date
from services.credits.domain.closing_report import Report
from services.credits.domain.closings import TITLES, Step
from services.credits.domain.refusals import WHY_REFUSED
from services.credits.domain.wording import decimal_text, euros_text, hours_text, number_text
from services.credits.schemas.sheets import Number, build_sheet, hours_number, instant_text

RULES = {
    "return": "retour : le crédit non dépensé revient à l'enveloppe",
    "lapse": "caducité : le crédit non dépensé est perdu",
    "carry_over": "report : le crédit non dépensé peut être repris par une campagne suivante",
}
KINDS = {
    "pledge": "promesse", "withdraw": "retrait", "grant": "dotation", "reserve": "réserve", "release": "réserve rendue",
    "settle": "heures faites", "deliver": "heures livrées", "expire": "échéance", "carry": "report",
    "reverse": "contre-passation",
}  # fmt: skip
ASSOCIATION_COLUMNS = {
    "Accordé": "granted_minutes",
    "Report reçu": "carried_in_minutes",
    "Réservé": "reserved_minutes",
    "Rendu": "released_minutes",
    "Fait": "served_minutes",
    "Échu": "expired_minutes",
    "Reporté": "carried_over_minutes",
    "En réserve": "held_minutes",
}
CONTRIBUTOR_COLUMNS = {
    "Promis": "pledged_minutes",
    "Repris": "withdrawn_minutes",
    "Livré": "delivered_minutes",
    "Non livré": "undelivered_minutes",
    "Dont attendu": "committed_minutes",
}
ACCEPTED = {
    "approval-pending": "opérations en attente d'une seconde personne",
    "before-the-end": "fin anticipée",
    "hours-unvalidated": "heures non validées",
    "notice-missing": "préavis manquant",
    "proposal-unsigned": "calcul non signé",
}
CITIZEN = "particulier"


def report_title(facts: Mapping[str, Any]) -> str:
    campaign = facts["campaign"]["title"]
    return (
        f"Additif {facts['number']} au rapport de clôture : {campaign}" if facts["number"] else f"Rapport de clôture : {campaign}"
    )


def build_report_document(report: Report) -> dict[str, object]:
    """What documents/closing_report.typ sets: text only, in French."""
    facts = report.text.facts
    totals = facts["totals"]
    drawn_up_on = local_date(report.drawn_up_at)
    return {
        "title": report_title(facts),
        "town": facts["territory"]["name"],
        "drawn_up_on": {"year": drawn_up_on.year, "month": drawn_up_on.month, "day": drawn_up_on.day},
        "facts": _facts(facts),
        "associations": _table("Association", ASSOCIATION_COLUMNS, facts["associations"], totals, nameless="sans nom connu"),
        "contributors": _table("Contributeur", CONTRIBUTOR_COLUMNS, facts["contributors"], totals, nameless=CITIZEN),
        "surviving": [
            [
                one["title"] or one["mission_id"],
                one["association_name"] or one["association_id"],
                _hours(one["held_minutes"]),
                _day(one["ends_on"]),
            ]
            for one in facts["surviving_holds"]
        ],
        "reversals": [_movement(one) for one in facts["reversals"]],
        "movements": [_movement(one) for one in facts["movements"]],
        "refusals": [
            [WHY_REFUSED.get(one["code"], one["code"]), number_text(one["count"]), _hours(one["asked_minutes"])]
            for one in facts["refusals"]
        ],
        "steps": [[TITLES[Step(one["step"])], _instant(one["at"]), one["by"], _accepted(one)] for one in facts["steps"]],
        "books": _books(facts),
        "digest": report.text.digest,
        "signature": _signature(report),
    }


def _facts(facts: Mapping[str, Any]) -> list[list[str]]:
    campaign = facts["campaign"]
    rules = campaign["rules"]
    return [
        ["Commune", f"{facts['territory']['name']} ({facts['territory']['code']})"],
        ["Campagne", f"du {_day(campaign['starts_on'])} au {_day(campaign['ends_on'])}, référence {campaign['ref']}"],
        ["Opérateur", campaign["operator_name"] or campaign["operator_id"]],
        ["Close le", f"{_instant(campaign['closed_at'])} : {campaign['closure_reason']}"],
        [
            "Règles",
            f"taux {decimal_text(Fraction(rules['compensation_permille'], 10))} %, heure à "
            f"{euros_text(rules['hour_value_cents'])}, pas de {rules['step_minutes']} min ; {RULES[rules['expiry']]}",
        ],
        ["Arrêté le", f"{_instant(facts['drawn_up_at'])}, par {facts['drawn_up_by']}"],
        *([["Fait suite au", _previous(facts["previous"])]] if facts["previous"] else []),
    ]


def _previous(previous: Mapping[str, Any]) -> str:
    name = f"additif {previous['number']}" if previous["number"] else "rapport"
    return f"{name} d'empreinte {previous['digest']}"


def _table(
    first: str, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]], totals: Mapping[str, int], *, nameless: str
) -> dict[str, object]:
    return {
        "head": [first, *columns],
        "rows": [[row["name"] or nameless, *(_hours(row[name]) for name in columns.values())] for row in rows],
        "total": ["Total", *(_hours(totals[name]) for name in columns.values())],
    }


def _books(facts: Mapping[str, Any]) -> list[list[str]]:
    books, totals = facts["books"], facts["totals"]
    rows = [
        ["Somme de tous les comptes", number_text(books["sum_minutes"])],
        ["Comptes en désaccord avec leurs écritures", number_text(books["accounts_out_of_step"])],
        ["Comptes, écritures", f"{number_text(books['accounts'])}, {number_text(books['transfers'])}"],
        ["Enveloppe", _hours(totals["pool_minutes"])],
        ["Caduc", _hours(totals["lapsed_minutes"])],
    ]
    if head := facts["ledger_head"]:
        rows.append(["Dernier bloc scellé", f"n° {head['number']}, {head['hash']}"])
    return rows


def _movement(one: Mapping[str, Any]) -> list[str]:
    return [_instant(one["recorded_at"]), KINDS[one["kind"]], _hours(one["minutes"]), one["why"], one["who"]]


def _accepted(one: Mapping[str, Any]) -> str:
    counts = Counter(key.partition("/")[0] for key in one["accepted"])
    return ", ".join(f"{ACCEPTED.get(code, code)} ({count})" for code, count in sorted(counts.items()))


def _signature(report: Report) -> list[str]:
    if report.signed_at is None:
        return ["Projet : ce rapport n'est pas encore signé."]
    return [f"Signé par {report.signed_by} le {instant_text(report.signed_at)}."]


def _hours(minutes: int) -> str:
    return f"−{hours_text(-minutes)}" if minutes < 0 else hours_text(minutes)


def _day(day: str | None) -> str:
    return f"{date.fromisoformat(day):%d/%m/%Y}" if day else "sans date"


def _instant(instant: str | None) -> str:
    return instant_text(datetime.fromisoformat(instant)) if instant else ""


# ---- The spreadsheet -----------------------------------------------------------------------------------------------


def build_report_sheet(report: Report) -> str:
    """One row a holder and a figure, in minutes and in hours: whatever a town makes of it, nothing is lost."""
    facts = report.text.facts
    header = ("Rapport", "Qualité", "Identifiant", "Nom", "Chiffre", "Minutes", "Heures")
    name = f"additif {facts['number']}" if facts["number"] else "rapport"
    rows: list[list[Any]] = []
    for part, key, columns, nameless in (
        ("association", "association_id", ASSOCIATION_COLUMNS, ""),
        ("contributeur", "contributor_id", CONTRIBUTOR_COLUMNS, CITIZEN),
    ):
        for row in facts[f"{key.removesuffix('_id')}s"]:
            holder = row["name"] or nameless
            rows += [[name, part, row[key], holder, label, *_cells(row[column])] for label, column in columns.items()]
    labels = ASSOCIATION_COLUMNS | CONTRIBUTOR_COLUMNS | {"Enveloppe": "pool_minutes", "Caduc": "lapsed_minutes"}
    totals = facts["totals"]
    rows += [[name, "total", "", "", label, *_cells(totals[column])] for label, column in labels.items()]
    signed = "signé" if report.is_signed else "non signé"
    rows.append([name, "empreinte", report.text.digest, report.signed_by, signed, None, None])
    return build_sheet(header, rows)


def _cells(minutes: int) -> tuple[int, Number]:
    return minutes, hours_number(minutes)
