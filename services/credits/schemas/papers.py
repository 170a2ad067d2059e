"""What stands on each page: the kept content in the words and figures of French readers."""

from datetime import date, datetime
from typing import Any

from kernel.clock import LOCAL_ZONE
from services.credits.domain.conventions import Side, Version
from services.credits.domain.receipts import Receipt, ReceiptState
from services.credits.domain.wording import euros_text, hours_text
from services.credits.domain.words import amount_words

# fmt: off
_MONTHS = (
    "janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre",
)
# fmt: on
_HEADINGS = {Side.ASSOCIATION: "L'association", Side.CONTRIBUTOR: "Le contributeur", Side.TOWN: "La commune"}
Facts = list[list[str | None]]


def day_text(day: date) -> str:
    """1er mars 2026."""
    return f"{'1er' if day.day == 1 else day.day} {_MONTHS[day.month - 1]} {day.year}"


def instant_text(instant: datetime) -> str:
    local = instant.astimezone(LOCAL_ZONE)
    return f"{day_text(local)}, {local:%H} h {local:%M}"


def convention_page(mission_id: str, found: Version) -> dict[str, Any]:
    content = found.content
    mission, citizen = content["mission"], content["contributor"]["citizen"]
    return {
        "title": "Convention tripartite de mise à disposition de compétences",
        "subject": f"Mission {mission_id}, version {found.version}",
        "footer": f"Version {found.version} · empreinte SHA-256 {found.digest}",
        "versionline": f"Version {found.version}, établie le {day_text(found.drafted_at.astimezone(LOCAL_ZONE).date())}",
        "mission": {
            "title": mission["title"],
            "tasks": mission["tasks"],
            "starts": day_text(date.fromisoformat(mission["starts_on"])),
            "ends": day_text(date.fromisoformat(mission["ends_on"])),
            "hours": hours_text(mission["minutes"]),
            "calendar": mission["calendar"],
            "place": mission["place"],
            "employees": None if citizen else str(mission["employees"]),
        },
        "campaign": content["campaign"]["title"],
        "parties": [
            {"heading": _HEADINGS[side], "facts": _party_facts(content[side], side, template=found.template)} for side in Side
        ],
        "objet": _purpose(content, citizen=citizen),
        "valorisation": _valuation_clauses(mission["planned_value_cents"], citizen=citizen),
        "responsabilites": _duties(citizen=citizen),
        "acceptanceline": _acceptance_line(found),
        "acceptances": [
            [_HEADINGS[one.side], one.accepted_by, instant_text(one.accepted_at)] for one in found.acceptances
        ] + [[_HEADINGS[side], "en attente", "–"] for side in Side if side not in {one.side for one in found.acceptances}],
    }  # fmt: skip


def _party_facts(signatory: dict[str, Any], side: Side, *, template: int) -> Facts:
    if signatory["citizen"]:
        return [["Citoyen ou citoyenne", f"identifiant {signatory['id']} (le nom se porte à la main sur l'exemplaire signé)"]]
    return [
        ["Dénomination", signatory["name"]],
        ["Forme juridique", signatory["legal_form"]],
        ["SIREN", signatory["siren"]],
        ["RNA", signatory["rna"]],
        ["Adresse", signatory["address"]],
        ["Objet", signatory["object"] if side is Side.ASSOCIATION else None],
        ["Représentée par" if template == 1 else "Signataire (qualité)", signatory["representative_function"]],
    ]


def _purpose(content: dict[str, Any], *, citizen: bool) -> str:
    association = content["association"]["name"]
    if citizen:
        return (
            f"Le contributeur apporte bénévolement ses compétences à l'association {association}, avec le soutien de la commune."
        )
    company = content["contributor"]["name"]
    return (
        f"L'entreprise {company} met gratuitement à la disposition de l'association {association} les compétences ci-dessous, "
        "avec le soutien de la commune."
    )


def _valuation_clauses(planned_cents: int | None, *, citizen: bool) -> list[str]:
    if citizen:
        return ["Le temps donné par un particulier est du bénévolat : il n'ouvre droit à aucun reçu fiscal."]
    planned = (
        f"Le contributeur prévoit une valeur de {euros_text(planned_cents)} ({amount_words(planned_cents)})."
        if planned_cents is not None
        else "Le contributeur n'a donné aucune valeur prévisionnelle ; aucune n'est estimée à sa place."
    )
    return [
        planned,
        "La valeur définitive est établie par le contributeur seul, à son coût de revient (rémunérations et charges sociales "
        "des salariés mis à disposition), pour les heures validées, dans la limite que fixe l'article 238 bis du code général "
        "des impôts. L'association délivre un reçu fiscal si elle y est habilitée, et seulement après cette valorisation.",
    ]


def _duties(*, citizen: bool) -> str:
    if citizen:
        return (
            "Le contributeur agit librement, sans lien de subordination ni contrepartie. L'association l'accueille, l'informe "
            "des règles de sécurité et s'assure qu'il est couvert pour cette activité."
        )
    return (
        "Le contributeur reste l'employeur des salariés mis à disposition et leur verse leur rémunération. L'association les "
        "accueille, dirige la mission dans le cadre convenu et assure leur sécurité dans ses locaux. Chaque partie est assurée "
        "pour ce qui relève d'elle."
    )


def _acceptance_line(found: Version) -> str:
    if found.is_concluded:
        last = max(one.accepted_at for one in found.acceptances)
        return f"Convention conclue le {instant_text(last)} : les trois parties ont accepté cette version."
    return "Projet : cette version n'est pas encore acceptée par les trois parties."


def receipt_page(found: Receipt, *, successor_label: str | None) -> dict[str, Any]:
    content = found.content
    return {
        "title": "Reçu des dons et versements effectués par les entreprises",
        "subject": f"Reçu {found.label} de {content['beneficiary']['name']}",
        "footer": f"Reçu {found.label} · empreinte SHA-256 {found.digest}",
        "label": found.label,
        "mark": _mark(found.state, successor_label),
        "beneficiary": _organisation_facts(content["beneficiary"]),
        "donor": _organisation_facts(content["donor"] | {"object": None, "category": None, "rna": None}),
        "period": _period_text(content),
        # Between asterisks, as receipts made by computer bear their figures.
        "amount": f"*** {euros_text(content['amount_cents'])} ***",
        "words": content["amount_words"],
        "gifts": [_gift_row(gift) for gift in content["gifts"]] + _total_row(content),
        "issued": day_text(date.fromisoformat(content["issued_on"])),
        "representative": content["beneficiary"]["representative_function"],
        "replaces": content["replaces"],
        "reason": content["reason"],
    }  # fmt: skip


def _mark(state: ReceiptState, successor_label: str | None) -> str | None:
    if state is ReceiptState.REPLACED:
        return f"REMPLACÉ par le reçu n° {successor_label} : ce reçu n'est plus valable."
    return "ANNULÉ : ce reçu n'est plus valable." if state is ReceiptState.CANCELLED else None


def _organisation_facts(organisation: dict[str, Any]) -> Facts:
    return [
        ["Dénomination", organisation["name"]],
        ["Forme juridique", organisation["legal_form"]],
        ["SIREN", organisation["siren"]],
        ["RNA", organisation["rna"]],
        ["Adresse", organisation["address"]],
        ["Objet", organisation["object"]],
        ["Catégorie", organisation["category"]],
    ]


def _period_text(content: dict[str, Any]) -> str:
    first, last = date.fromisoformat(content["from_day"]), date.fromisoformat(content["to_day"])
    return f"le {day_text(first)}" if first == last else f"du {day_text(first)} au {day_text(last)}"


def _gift_row(gift: dict[str, Any]) -> list[str]:
    hours, employees = hours_text(gift["minutes"]), str(gift["employees"])
    return [gift["title"], _period_text(gift), hours, employees, euros_text(gift["amount_cents"])]


def _total_row(content: dict[str, Any]) -> list[list[str]]:
    if len(content["gifts"]) == 1:
        return []
    return [["Total", "", hours_text(content["minutes"]), "", euros_text(content["amount_cents"])]]
