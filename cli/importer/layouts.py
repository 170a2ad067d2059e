"""The files, column by column, and the request that each row becomes."""

from collections.abc import Mapping
from typing import Any

from cli.importer import values as v
from cli.importer.checking import ACTOR, CAMPAIGN, CONTRIBUTOR, MEMBER, Column, Layout
from cli.importer.codes import ACTOR_KINDS, EXPIRIES, FIELDS_OF_ACTION, LOCALES, MEMBER_ROLES, SETTINGS, WEEK_PARTS
from services.registry.domain.identifiers import IdentifierKind

Values = Mapping[str, Any]
Request = tuple[str, dict[str, Any]]

SUBSIDIES = "subventions"
LINE = v.text(longest=200)
TEXT = v.text(longest=4000)
NOTE = v.text(longest=500)
NINE_DIGITS = "neuf chiffres, dont le dernier est une clé ; recopiez-les de l'avis de situation"
FORMS = {
    IdentifierKind.SIREN.value: NINE_DIGITS,
    IdentifierKind.SIRET.value: "quatorze chiffres, dont le dernier est une clé ; recopiez-les de l'avis de situation",
    IdentifierKind.RNA.value: "W et neuf chiffres, comme W922000123",
}


def make_layouts(shift_days: int = 0) -> list[Layout]:
    """Every kind of file, in the order in which they depend on one another; dates are moved by `shift_days`."""
    day = v.day(shift_days)
    return [_communes(), _actors(), _members(), _campaigns(day), _panel(), _pledges(), _needs(day), _offers(day)]


def _communes() -> Layout:
    columns = (
        Column("insee", v.insee, "insee", required=True),
        Column("nom", LINE, "name", required=True),
        Column("codes_postaux", v.many(v.text(longest=5)), "postcodes"),
        Column("latitude", v.degrees(90), "latitude", required=True),
        Column("longitude", v.degrees(180), "longitude", required=True),
        Column("epci_siren", v.identifier(IdentifierKind.SIREN, NINE_DIGITS), "epci_siren"),
        Column("ept_siren", v.identifier(IdentifierKind.SIREN, NINE_DIGITS), "ept_siren"),
    )
    return Layout(
        "communes", ("insee",), columns, lambda row: (f"/communes/{row['insee']}", _fields(columns, row, without=("insee",)))
    )


def _actors() -> Layout:
    columns = (
        Column("ref", v.ref, "ref", required=True),
        Column("type", v.one_of(ACTOR_KINDS), "kind", required=True),
        Column("nom", LINE, "name", required=True),
        *(
            Column(kind, v.identifier(IdentifierKind(kind), f"{form} ; ou laissez-le à vérifier, dans {kind}_a_verifier"), kind)
            for kind, form in FORMS.items()
        ),
        Column("commune", v.insee, "commune", required=True),
        Column("domaines", v.many(v.one_of(FIELDS_OF_ACTION)), "fields_of_action"),
        Column("courriel", v.email, "email"),
        Column("site", v.website, "website"),
        Column("description", TEXT, "description"),
        Column("exemple", v.boolean, "is_example"),
        *(Column(f"{kind}_a_verifier", v.text(longest=40), f"unverified_identifiers/{kind}") for kind in FORMS),
    )

    def request(row: Values) -> Request:
        body = _fields(columns, row)
        doubtful = {kind: body.pop(f"unverified_identifiers/{kind}") for kind in FORMS}
        kept = {kind: value for kind, value in doubtful.items() if value is not None}
        return f"/actors/refs/{row['ref']}", body | {"unverified_identifiers": kept}

    return Layout("acteurs", ("ref",), columns, request, defines=ACTOR)


def _members() -> Layout:
    columns = (
        Column("ref", v.ref, "ref", required=True),
        Column("acteur", v.ref, "actor_id", reference=ACTOR),
        Column("nom", LINE, "display_name", required=True),
        Column("courriel", v.email, "email", required=True),
        Column("roles", v.many(v.one_of(MEMBER_ROLES), at_least=1), "roles", required=True),
        Column("langue", v.one_of(LOCALES), "locale"),
    )
    return Layout(
        "membres", ("ref",), columns, lambda row: (f"/members/refs/{row['ref']}", _fields(columns, row)), defines=MEMBER
    )


def _campaigns(day: v.Reader) -> Layout:
    columns = (
        Column("ref", v.ref, "ref", required=True),
        Column("titre", LINE, "title", required=True),
        Column("debut", day, "starts_on", required=True),
        Column("fin", day, "ends_on", required=True),
        Column("operateur", v.ref, "operator_id", required=True, reference=ACTOR),
        Column("taux_compensation", v.permille, "compensation_permille", required=True),
        Column("valeur_heure_euros", v.cents, "hour_value_cents", required=True),
        Column("pas_minutes", v.whole(1, 1440), "step_minutes"),
        Column("expiration", v.one_of(EXPIRIES), "expiry"),
        Column("conventions_obligatoires", v.boolean, "conventions_required"),
        Column("double_signature_heures", v.threshold_minutes, "four_eyes_above_minutes"),
        Column("plafond_jour_heures", v.minutes, "daily_limit_minutes"),
    )
    return Layout(
        "campagne", ("ref",), columns, lambda row: (f"/campaigns/refs/{row['ref']}", _fields(columns, row)), defines=CAMPAIGN
    )


def _panel() -> Layout:
    columns = (
        Column("campagne", v.ref, "campaign_id", required=True, reference=CAMPAIGN),
        Column("association", v.ref, "association_id", required=True, reference=ACTOR),
        Column("avant_euros", v.cents, "subsidy_before_cents", required=True),
        Column("apres_euros", v.cents, "subsidy_after_cents", required=True),
    )

    def request(row: Values) -> Request:
        return f"/campaigns/{row['campagne']}/panel/{row['association']}", _fields(
            columns, row, without=("campagne", "association")
        )

    return Layout(SUBSIDIES, ("campagne", "association"), columns, request)


def _pledges() -> Layout:
    columns = (
        Column("ref", v.ref, "ref", required=True),
        Column("campagne", v.ref, "campaign_id", required=True, reference=CAMPAIGN),
        Column("contributeur", v.ref, "contributor_id", required=True, reference=CONTRIBUTOR),
        Column("heures", v.minutes, "minutes", required=True),
        Column("note", NOTE, "note"),
    )

    def request(row: Values) -> Request:
        return f"/campaigns/{row['campagne']}/pledges/refs/{row['ref']}", _fields(columns, row, without=("ref", "campagne"))

    return Layout("promesses", ("ref",), columns, request)


def _needs(day: v.Reader) -> Layout:
    columns = (
        Column("ref", v.ref, "ref", required=True),
        Column("campagne", v.ref, "campaign_id", required=True, reference=CAMPAIGN),
        Column("association", v.ref, "association_id", required=True, reference=ACTOR),
        Column("titre", LINE, "title", required=True),
        Column("description", TEXT, "description"),
        Column("competences", v.many(v.skill, at_least=1), "skills", required=True),
        Column("heures", v.minutes, "minutes", required=True),
        Column("debut", day, "starts_on", required=True),
        Column("fin", day, "ends_on", required=True),
        Column("commune", v.insee, "commune"),
        Column("a_distance", v.boolean, "remote"),
        *_both_sides(),
        Column("cadre", v.one_of(SETTINGS), "setting"),
        Column("avec_mineurs", v.boolean, "with_minors"),
        Column("charte_exigee", v.boolean, "charter_required"),
    )
    return Layout("besoins", ("ref",), columns, lambda row: (f"/needs/refs/{row['ref']}", _with_terms(_fields(columns, row))))


def _offers(day: v.Reader) -> Layout:
    columns = (
        Column("ref", v.ref, "ref", required=True),
        Column("membre", v.ref, "volunteer_id", required=True, reference=MEMBER),
        Column("titre", LINE, "title", required=True),
        Column("description", TEXT, "description"),
        Column("competences", v.many(v.skill, at_least=1), "skills", required=True),
        Column("heures", v.minutes, "minutes", required=True),
        Column("debut", day, "available_from", required=True),
        Column("fin", day, "available_until", required=True),
        Column("commune", v.insee, "commune"),
        Column("a_distance", v.boolean, "remote"),
        Column("rayon_km", v.whole(0, 500), "radius_km"),
        Column("cadre", v.one_of(SETTINGS), "setting", required=True),
        *_both_sides(),
        Column("associations_exclues", v.many(v.ref), "excluded_associations", reference=ACTOR),
        Column("honorabilite_le", day, "honorability_checked_on"),
        Column("charte_signee", v.boolean, "charter_signed"),
    )
    return Layout("offres", ("ref",), columns, lambda row: (f"/offers/refs/{row['ref']}", _with_terms(_fields(columns, row))))


def _fields(columns: tuple[Column, ...], row: Values, *, without: tuple[str, ...] = ("ref",)) -> dict[str, Any]:
    return {column.field: row[column.name] for column in columns if column.name not in without}


def _both_sides() -> tuple[Column, ...]:
    """What besoins.csv and offres.csv may say beside the commune; a point is two columns."""
    return (
        Column("langues", v.many(v.language), "languages"),
        Column("semaine", v.many(v.one_of(WEEK_PARTS)), "week"),
        Column("latitude", v.degrees(90), "latitude"),
        Column("longitude", v.degrees(180), "longitude"),
    )


def _with_terms(body: dict[str, Any]) -> dict[str, Any]:
    """A skill without a level is left to the API: a need then asks for some notion of it, an offer then promises no more."""
    skills = [{"label": label} | ({"level": level} if level else {}) for label, level in body["skills"]]
    point = {name: body.pop(name) for name in ("latitude", "longitude")}
    return body | {"skills": skills, "point": point if point != {"latitude": None, "longitude": None} else None}
