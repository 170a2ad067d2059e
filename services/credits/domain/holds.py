"""Holds: credit set aside for an agreed mission, until it is served, cancelled or undone."""

from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from uuid import UUID

from services.credits.domain.campaigns import Campaign
from services.credits.domain.errors import NoSuchMinutes
from services.credits.domain.ledger import AccountKind, account_name
from services.credits.domain.wording import hours_text


class HoldState(StrEnum):
    ASKED = "asked"  # within its own transaction only
    HELD = "held"
    REFUSED = "refused"
    CANCELLED = "cancelled"  # the cancellation came before the reservation
    RELEASED = "released"
    SETTLED = "settled"
    REVERSED = "reversed"  # the settlement was undone


@dataclass(frozen=True)
class HoldPart:
    """What a hold draws from one lot. Parts are served in the order of drawing: the earliest expiring first."""

    number: int
    lot_id: UUID
    minutes: int
    served_minutes: int = 0
    released_minutes: int = 0

    @property
    def held_minutes(self) -> int:
        return self.minutes - self.served_minutes - self.released_minutes


@dataclass(frozen=True)
class Hold:
    mission_id: UUID
    campaign_id: UUID
    association_id: UUID
    contributor_id: UUID | None
    minutes: int
    served_minutes: int
    ends_on: date | None
    state: HoldState
    parts: tuple[HoldPart, ...] = ()

    @property
    def held_minutes(self) -> int:
        """What is still set aside."""
        return self.minutes - self.served_minutes if self.state is HoldState.HELD else 0

    def with_part(self, part: HoldPart) -> "Hold":
        return replace(self, parts=(*self.parts[: part.number - 1], part, *self.parts[part.number :]))


@dataclass(frozen=True)
class Refusal:
    """Why a mission cannot be paid for: a stable code, and a French sentence that says what would help."""

    code: str
    reason: str
    missing_minutes: int = 0


# Where a refusal finds too little; the others are about no account.
_LACKING = {
    "not-enough-credit": AccountKind.CREDIT,
    "pledge-exhausted": AccountKind.PROMISED,
    "more-than-held": AccountKind.HELD,
    "nothing-held": AccountKind.HELD,
}


def find_lacking_account(code: str, *, campaign_id: UUID, association_id: UUID | None, contributor_id: UUID | None) -> str | None:
    """The account on which a mission that was refused for this lacks minutes, as DOMAIN.md names it."""
    kind = _LACKING.get(code)
    holder_id = contributor_id if kind is AccountKind.PROMISED else association_id
    return account_name(kind, campaign_id=campaign_id, holder_id=holder_id) if kind and holder_id else None


@dataclass(frozen=True)
class Means:
    """What stands behind a reservation, read under lock."""

    campaign: Campaign | None
    on_panel: bool
    credit_minutes: int  # spendable now: of live lots alone
    promised_minutes: int  # promised by the contributor and not yet delivered
    committed_minutes: int  # set aside for the contributor's other missions

    @property
    def free_promise_minutes(self) -> int:
        return max(0, self.promised_minutes - self.committed_minutes)


def require_minutes(minutes: int, *, least: int) -> None:
    """Refuse an amount that no mission can have."""
    if minutes < least:
        raise NoSuchMinutes(f"{minutes} minutes cannot be set aside or served; at least {least}.")


def decide_reservation(means: Means, *, asked_minutes: int, today: date) -> Refusal | None:
    """None when the mission can be paid for; else the first reason why not."""
    campaign = means.campaign
    if campaign is None or not campaign.is_spendable_on(today):
        return Refusal(
            "campaign-not-open",
            "La campagne n'est pas ouverte à cette date : aucun crédit ne peut être réservé. "
            "Rattachez le besoin à une campagne ouverte.",
        )
    if not means.on_panel:
        return Refusal(
            "association-not-on-panel",
            f"L'association ne fait pas partie du panel de la campagne « {campaign.facts.title} ». "
            "Demandez à la mairie de l'y admettre.",
        )
    if (missing := asked_minutes - means.credit_minutes) > 0:
        return Refusal(
            "not-enough-credit",
            f"Il manque {hours_text(missing)} de crédit : la mission demande {hours_text(asked_minutes)}, l'association "
            f"dispose de {hours_text(means.credit_minutes)}. Réduisez la durée, annulez une mission réservée, ou demandez une "
            "dotation complémentaire à la mairie.",
            missing,
        )
    if (missing := asked_minutes - means.free_promise_minutes) > 0:
        return Refusal(
            "pledge-exhausted",
            f"Il manque {hours_text(missing)} à la promesse du contributeur : la mission demande {hours_text(asked_minutes)}, "
            f"il lui reste {hours_text(means.free_promise_minutes)} à donner. Demandez-lui de compléter sa promesse, ou "
            "proposez un autre bénévole.",
            missing,
        )
    return None


def decide_settlement(hold: Hold, *, served_minutes: int) -> Refusal | None:
    """None when these validated minutes, beside those settled before, can be paid out of the hold."""
    if hold.state is not HoldState.HELD:
        return Refusal(
            "nothing-held",
            "Aucun crédit n'est réservé pour cette mission : elle a été annulée, refusée ou sa réserve a été rendue. "
            "Convenez d'une nouvelle mission.",
            served_minutes,
        )
    if (missing := served_minutes - hold.held_minutes) > 0:
        return Refusal(
            "more-than-held",
            f"Le relevé validé dépasse la réserve de {hours_text(missing)} : {hours_text(served_minutes)} au lieu de "
            f"{hours_text(hold.held_minutes)}. Corrigez le relevé, ou convenez d'une nouvelle mission pour le dépassement.",
            missing,
        )
    return None
