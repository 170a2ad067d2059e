"""What the town publishes of signed grants: the rule with its figures, every line with its inputs, and the legal notice.

The notice is the one that CRPA art. L. 311-3-1 and R. 311-3-1-1 ask of a decision taken with an algorithm: its purpose, the
right to be told its rules and how they were applied, how to ask, and where to complain; with what R. 311-3-1-2 lists
(how far the algorithm decides, the data and their sources, the parameters, the operations) said at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from typing import Any
from uuid import UUID

from services.credits.domain.campaigns import Campaign
from services.credits.domain.digests import digest_json
from services.credits.domain.grants import GrantComputation, explain_grant
from services.credits.domain.wording import decimal_text, euros_text, hours_text, number_text

# Of the published content's shape; another shape is another number, so that an old digest can be computed again.
# 2 tells the day until which the credit can be spent.
CONTENT_VERSION = 2


@dataclass(frozen=True)
class GrantedTo:
    """What one association was granted under a signature, and what of it was taken back since."""

    association_id: UUID
    association_name: str
    minutes: int
    adjustment_reason: str | None
    reversed_minutes: int
    expires_on: date | None = None


@dataclass(frozen=True)
class Signature:
    signed_at: datetime
    computation_digest: str
    by_two_persons: bool


@dataclass(frozen=True)
class Publication:
    """As it was published; never changed. A correction is another one that replaces it."""

    id: UUID
    campaign_id: UUID
    proposal_id: UUID
    number: int
    replaces: UUID | None
    content: dict[str, Any]
    digest: str
    published_by: str
    published_at: datetime


def build_content(
    campaign: Campaign,
    computed: GrantComputation,
    granted: Sequence[GrantedTo],
    *,
    town: str,
    contact: str,
    signature: Signature,
    number: int,
    replaces_number: int | None,
    published_at: datetime,
) -> dict[str, Any]:
    """Everything that is published, as JSON without floats: its digest is computed from it (`digest_json`)."""
    facts = campaign.facts
    return {
        "version": CONTENT_VERSION,
        "town": town,
        "number": number,
        "replaces_number": replaces_number,
        "published_at": published_at.isoformat(),
        "campaign": {
            "ref": campaign.ref,
            "title": facts.title,
            "starts_on": facts.starts_on.isoformat(),
            "ends_on": facts.ends_on.isoformat(),
        },
        "expires_on": _last_day(granted, campaign).isoformat(),
        "rule": {
            "step_minutes": computed.rules.step_minutes,
            "compensation_permille": computed.rules.compensation_permille,
            "hour_value_cents": computed.rules.hour_value_cents,
            "pool_minutes": computed.pool_minutes,
            "due_minutes": computed.due_minutes,
            "computed_minutes": computed.computed_minutes,
        },
        "rule_text": write_rule(computed, adjusted=sum(line.adjustment_reason is not None for line in granted)),
        "notice": write_notice(computed, town=town, contact=contact),
        "signature": {
            "signed_at": signature.signed_at.isoformat(),
            "computation_digest": signature.computation_digest,
            "by_two_persons": signature.by_two_persons,
        },
        "lines": _lines(computed, granted),
        "total_minutes": sum(line.minutes for line in granted),
        "total_reversed_minutes": sum(line.reversed_minutes for line in granted),
    }


def _last_day(granted: Sequence[GrantedTo], campaign: Campaign) -> date:
    """All grants of a signature share it; where nothing was granted, the campaign's."""
    return next((one.expires_on for one in granted if one.expires_on), campaign.facts.ends_on)


def _lines(computed: GrantComputation, granted: Sequence[GrantedTo]) -> list[dict[str, Any]]:
    by_association = {line.association_id: line for line in granted}
    return [
        {
            "association_id": str(line.seat.association_id),
            "association_name": by_association[line.seat.association_id].association_name,
            "subsidy_before_cents": line.seat.subsidy_before_cents,
            "subsidy_after_cents": line.seat.subsidy_after_cents,
            "already_granted_minutes": line.seat.already_granted_minutes,
            "exact_minutes": str(line.exact_minutes),
            "entitled_minutes": line.entitled_minutes,
            "due_minutes": line.due_minutes,
            "share_steps": str(line.share_steps),
            "extra_step": line.extra_step,
            "computed_minutes": line.computed_minutes,
            "minutes": by_association[line.seat.association_id].minutes,
            "adjustment_reason": by_association[line.seat.association_id].adjustment_reason,
            "reversed_minutes": by_association[line.seat.association_id].reversed_minutes,
            "explanation": explain_grant(line, rules=computed.rules, is_cut=computed.is_cut),
        }
        for line in computed.lines
    ]


def digest_content(content: dict[str, Any]) -> str:
    return digest_json(content)


def says_the_same(content: dict[str, Any], before: dict[str, Any]) -> bool:
    """Whether nothing but the number and the date would be new. What an earlier shape did not tell is no news."""
    told = before.keys() - {"version", "number", "replaces_number", "published_at"}
    return {key: content[key] for key in told} == {key: before[key] for key in told}


def write_rule(computed: GrantComputation, *, adjusted: int) -> list[str]:
    """The rule with its figures, in whole French sentences."""
    rules = computed.rules
    ratio, hour = decimal_text(Fraction(rules.compensation_permille, 1000)), euros_text(rules.hour_value_cents)
    text = [
        "Chaque association du panel reçoit des heures de compétences qui compensent une part de la baisse de sa subvention :"
        f" minutes = (subvention avant − subvention après) × {ratio} ÷ {hour} × 60, arrondies vers le bas au pas de"
        f" {rules.step_minutes} min. Une subvention qui n'a pas baissé ne donne rien.",
    ]
    if any(line.seat.already_granted_minutes for line in computed.lines):
        text.append("Ce qui a été accordé auparavant dans la campagne est déduit : cette dotation est complémentaire.")
    pool, due = hours_text(computed.pool_minutes), hours_text(computed.due_minutes)
    if computed.is_cut:
        text.append(
            f"L'enveloppe contenait {pool} et l'ensemble du panel avait droit à {due}. Chaque dotation est donc réduite dans"
            " la même proportion, en pas entiers ; les pas qui restent vont aux plus forts restes (à égalité, d'abord au"
            " montant dû le plus élevé, puis à l'association inscrite la première)."
        )
    else:
        text.append(f"L'enveloppe contenait {pool} ; elle suffit aux {due} auxquelles le panel a droit.")
    if adjusted:
        text.append(f"Dotations ajustées par l'agent de la commune, chacune avec son motif : {number_text(adjusted)}.")
    return text


def write_notice(computed: GrantComputation, *, town: str, contact: str) -> list[str]:
    """The explicit mention, in the order of CRPA art. R. 311-3-1-1 and R. 311-3-1-2."""
    rules = computed.rules
    return [
        "Cette décision a été prise sur le fondement d'un traitement algorithmique (code des relations entre le public et"
        " l'administration, article L. 311-3-1).",
        "Finalité : répartir entre les associations du panel des heures de compétences qui compensent en partie la baisse de"
        " leur subvention.",
        "Part du traitement dans la décision : il calcule chaque montant ; un agent de la commune le relit, l'ajuste s'il y a"
        " lieu avec un motif, et signe. Rien n'est accordé sans cette signature.",
        "Données et sources : les subventions avant et après la baisse, données par les services de la commune ; les heures"
        " promises à la campagne et celles déjà accordées, lues dans les comptes du dispositif.",
        f"Paramètres : taux de compensation {decimal_text(Fraction(rules.compensation_permille, 1000))}, valeur d'une heure"
        f" {euros_text(rules.hour_value_cents)}, pas de {rules.step_minutes} min ; les mêmes pour toutes.",
        "Opérations : la soustraction, la multiplication, l'arrondi et, si l'enveloppe ne suffit pas, la réduction décrits"
        " ci-dessus ; le calcul de chaque ligne est écrit en toutes lettres.",
        "Toute association concernée peut demander communication des règles de ce traitement et des principales"
        f" caractéristiques de sa mise en œuvre dans son cas. Une personne lui répond : {contact} ({town}). En cas de refus, ou"
        " sans réponse dans le délai d'un mois, elle peut saisir dans les deux mois la commission d'accès aux documents"
        " administratifs (www.cada.fr).",
    ]
