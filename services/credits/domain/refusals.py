"""What somebody tried: enough to keep a refusal of it, whatever the rule was and however far it had got."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from services.credits.domain.ledger import CAMPAIGN_ACCOUNTS, CONTRIBUTOR_ACCOUNTS, Transfer
from services.credits.domain.ledger_words import ACCOUNTS
from services.credits.domain.wording import hours_text

# By code, as the town's people read it: beside each refusal that is kept, and in a campaign's report.
WHY_REFUSED = {
    # Of missions (domain/holds.py).
    "association-not-on-panel": "association hors du panel",
    "more-than-held": "plus d'heures que la réserve",
    "nothing-held": "aucune réserve",
    "pledge-exhausted": "promesse épuisée",
    # Of what people ask for by hand (domain/errors.py).
    "actor-unfit": "acteur inconnu, archivé ou d'une autre nature",
    "already-decided": "demande déjà décidée",
    "already-published": "déjà publié tel quel",
    "already-reversed": "opération déjà annulée",
    "already-signed": "calcul déjà signé",
    "approval-needed": "accord d'une seconde personne nécessaire",
    "approval-pending": "une autre demande attend déjà",
    "campaign-not-draft": "campagne déjà ouverte",
    "campaign-not-open": "campagne non ouverte",
    "campaign-over": "campagne terminée",
    "computation-of-another": "un autre calcul que celui qui a été lu",
    "daily-limit": "plafond du jour atteint",
    "empty-panel": "aucune association au panel",
    "hold-refused": "réservation ou validation refusée",
    "mission-unknown": "mission inconnue du registre des heures",
    "no-such-minutes": "nombre de minutes impossible",
    "not-enough-credit": "crédit insuffisant",
    "not-own-request": "demande d'une autre personne",
    "not-reversible": "opération qui ne s'annule pas seule",
    "nothing-carried": "rien à reporter",
    "own-request": "personne ne décide de sa propre demande",
    "person-needed": "aucune personne nommée pour décider",
    "pledge-committed": "heures promises déjà réservées à des missions",
    "pledge-of-another": "promesse d'un autre contributeur",
    "pledge-too-small": "promesse inférieure aux heures reprises",
    "proposal-not-signed": "calcul non signé",
    "proposal-outdated": "panel modifié depuis le calcul",
    "request-altered": "demande modifiée en dehors du service",
    "request-expired": "demande expirée",
    "request-stale": "le montant ne serait plus le même",
    "statement-too-long": "trop de lignes pour un fichier",
    "transfer-key-reused": "clé déjà utilisée pour une autre opération",
    "unknown-flow": "aucun mouvement de cette nature entre ces comptes",
}


# Where the minutes asked for exceed what there is room for, rather than what an account holds.
_TOO_MUCH = {"daily-limit", "more-than-held", "pledge-too-small"}


def why_refused(code: str, *, missing_minutes: int, account: str | None = None) -> str:
    """One French sentence: what was in the way, and by how much. `account`: where minutes are missing, `pool/{campaign}`."""
    known = ACCOUNTS[account.partition("/")[0]] if account else WHY_REFUSED.get(code, code)
    by = f"{hours_text(missing_minutes)} de trop" if code in _TOO_MUCH else f"il manque {hours_text(missing_minutes)}"
    return f"{known[0].upper()}{known[1:]}{f' : {by}' if missing_minutes else ''}."


class RefusalSubject(StrEnum):
    """What was asked for. Those of four eyes bear the names of their requests (domain/approvals.py)."""

    RESERVATION = "reservation"
    SETTLEMENT = "settlement"
    PLEDGE = "pledge"
    WITHDRAWAL = "withdrawal"
    GRANTS = "grants"
    REVERSAL = "reversal"
    CARRY_IN = "carry_in"


@dataclass(frozen=True)
class Concerned:
    """Whose minutes they are, as far as one can be named: a signature grants to a whole panel."""

    association_id: UUID | None = None
    contributor_id: UUID | None = None
    mission_id: UUID | None = None

    @classmethod
    def by(cls, transfer: Transfer) -> "Concerned":
        """Its holder, and its mission if it is of one."""
        association_id = contributor_id = None
        for account in (transfer.source, transfer.target):
            if account.kind in CONTRIBUTOR_ACCOUNTS:
                contributor_id = account.holder_id
            elif account.kind not in CAMPAIGN_ACCOUNTS:
                association_id = account.holder_id
        return cls(association_id, contributor_id, transfer.mission_id)


NOBODY = Concerned()


@dataclass(frozen=True)
class Attempt:
    """`asked_minutes`: what it would have moved, or what a pledge was to be worth."""

    subject: RefusalSubject
    campaign_id: UUID
    asked_minutes: int
    concerned: Concerned = NOBODY
