"""The close of a campaign: steps in one order, what stands in the way of each, and what a person accepts knowingly."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from services.credits.domain.campaigns import NOTICE_DAYS, Campaign, CampaignState
from services.credits.domain.closing_errors import StepTooEarly
from services.credits.domain.holds import Hold
from services.credits.domain.wording import hours_text


class Step(StrEnum):
    """In their order."""

    CHECK = "check"
    NOTICES = "notices"
    EXPIRE = "expire"
    RELEASE = "release"
    FREEZE = "freeze"
    SIGN = "sign"


TITLES = {
    Step.CHECK: "Vérifier la campagne",
    Step.NOTICES: "Vérifier les préavis",
    Step.EXPIRE: "Clore la campagne et faire échoir le crédit non dépensé",
    Step.RELEASE: "Rendre les réserves dont le délai est passé",
    Step.FREEZE: "Arrêter les relevés et établir le rapport",
    Step.SIGN: "Signer le rapport",
}


class StepState(StrEnum):
    TODO = "todo"
    BLOCKED = "blocked"
    DONE = "done"


class Weight(StrEnum):
    INFO = "info"
    WARNING = "warning"  # stands in the way until somebody accepts it
    BLOCKING = "blocking"  # stands in the way until it is mended


@dataclass(frozen=True)
class Finding:
    """Something that closing meets: a stable code, a French sentence, and what to do."""

    code: str
    weight: Weight
    text: str
    cure: str
    subject_id: UUID | None = None
    minutes: int | None = None

    @property
    def key(self) -> str:
        return f"{self.code}/{self.subject_id}" if self.subject_id else self.code


def list_in_the_way(findings: Sequence[Finding], *, accepted: Collection[str]) -> list[Finding]:
    """What blocks, and every warning that was accepted neither by its own key nor by its code. Nothing else is acceptable."""
    return [
        finding
        for finding in findings
        if finding.weight is Weight.BLOCKING
        or (finding.weight is Weight.WARNING and finding.key not in accepted and finding.code not in accepted)
    ]


@dataclass(frozen=True)
class Try:
    """One try of a step that came to an end; `accepted` are the warnings that its caller took upon themself."""

    number: int
    step: Step
    state: StepState
    figures: Mapping[str, Any]
    findings: tuple[Finding, ...]
    accepted: tuple[str, ...]
    by: str
    at: datetime


@dataclass(frozen=True)
class Closing:
    campaign_id: UUID
    reason: str
    begun_by: str
    begun_at: datetime
    tries: tuple[Try, ...] = ()

    def last_try(self, step: Step) -> Try | None:
        return next((one for one in reversed(self.tries) if one.step is step), None)

    def is_done(self, step: Step) -> bool:
        return any(one.step is step and one.state is StepState.DONE for one in self.tries)

    @property
    def next_step(self) -> Step | None:
        """The first that is not done; None when all are."""
        return next((step for step in Step if not self.is_done(step)), None)

    @property
    def accepted(self) -> frozenset[str]:
        return frozenset(key for one in self.tries for key in one.accepted)

    def require_next(self, step: Step) -> None:
        following = self.next_step
        if following is not None and following is not step:
            raise StepTooEarly(
                f"Step {step} comes after {following}, which is not done: run that first.", next_step=following.value
            )


# ---- What closing meets --------------------------------------------------------------------------------------------


def find_early_end(campaign: Campaign, *, today: date) -> list[Finding]:
    """Closing before the day that everybody was told takes credit away early: somebody must want that."""
    ends_on = campaign.facts.ends_on
    if campaign.state is not CampaignState.OPEN or today > ends_on:
        return []
    text = f"La campagne court jusqu'au {ends_on:%d/%m/%Y} : la clore maintenant retire le crédit avant la date annoncée."
    cure = f"Attendez le lendemain du {ends_on:%d/%m/%Y}, ou acceptez si la commune a décidé une fin anticipée."
    return [Finding("before-the-end", Weight.WARNING, text, cure)]


def find_holds(holds: Sequence[Hold], *, today: date, grace_days: int, titles: Mapping[UUID, str]) -> list[Finding]:
    """Missions that hold credit: those over and not validated stand in the way, those still running are told."""
    return [_find_hold(hold, today=today, grace_days=grace_days, title=titles.get(hold.mission_id)) for hold in holds]


def _find_hold(hold: Hold, *, today: date, grace_days: int, title: str | None) -> Finding:
    name = f"« {title} »" if title else f"{hold.mission_id}"
    minutes = hours_text(hold.held_minutes)
    if hold.ends_on is not None and hold.ends_on < today:
        return Finding(
            "hours-unvalidated",
            Weight.WARNING,
            f"La mission {name} a pris fin le {hold.ends_on:%d/%m/%Y} et tient encore {minutes} en réserve : "
            "ses heures ne sont pas validées.",
            f"Faites déclarer et valider ses heures, ou annuler la mission ; sinon la réserve est rendue {grace_days} jours "
            "après sa fin.",
            hold.mission_id,
            hold.held_minutes,
        )
    until = f"jusqu'au {hold.ends_on:%d/%m/%Y}" if hold.ends_on else "sans date de fin"
    return Finding(
        "mission-running",
        Weight.INFO,
        f"La mission {name} court {until} et tient {minutes} en réserve.",
        "Rien à faire : elle garde sa réserve jusqu'à sa propre fin. Ce qu'elle deviendra donnera lieu à un additif au rapport.",
        hold.mission_id,
        hold.held_minutes,
    )


def find_unsigned_proposal(proposal_id: UUID | None, *, minutes: int) -> list[Finding]:
    """The newest computation of grants, if it would still grant something and nobody signed it."""
    if proposal_id is None or not minutes:
        return []
    text = (
        f"Le dernier calcul des dotations ({hours_text(minutes)}) n'est pas signé : après la clôture, il ne pourra plus l'être."
    )
    cure = "Signez-le, ou acceptez qu'il reste sans suite."
    return [Finding("proposal-unsigned", Weight.WARNING, text, cure, proposal_id, minutes)]


def find_waiting_approvals(count: int) -> list[Finding]:
    """Operations that one person proposed and no second one decided: once the campaign is closed, most can no more be done."""
    if not count:
        return []
    text = f"{count} opération(s) de cette campagne attendent une seconde personne."
    cure = "Faites-les approuver ou refuser, ou acceptez qu'elles restent sans suite."
    return [Finding("approval-pending", Weight.WARNING, text, cure)]


def find_unvalued(missions: int, *, minutes: int) -> list[Finding]:
    """What companies served and did not value yet: theirs to say, and still possible after the close."""
    if not missions:
        return []
    text = f"{missions} mission(s) servies par des entreprises ({hours_text(minutes)}) ne sont pas valorisées."
    cure = "Rappelez-le aux entreprises : sans leur valorisation, pas de reçu fiscal. Elles le peuvent encore après la clôture."
    return [Finding("valuation-missing", Weight.INFO, text, cure, minutes=minutes)]


def find_waiting_events(*, waiting: int, parked: int) -> list[Finding]:
    """News of this campaign's missions that the ledger has not taken in: closing without them would be false."""
    found = []
    if waiting:
        text = f"{waiting} nouvelle(s) de missions de cette campagne attendent d'être traitées (réserves, validations)."
        found.append(Finding("reservation-pending", Weight.BLOCKING, text, "Recommencez dans quelques minutes."))
    if parked:
        text = f"{parked} nouvelle(s) de missions de cette campagne n'ont pas pu être traitées et attendent une décision."
        cure = "La personne technique les lit (metis deadletters list --service credits), corrige la cause, puis les rejoue."
        found.append(Finding("event-parked", Weight.BLOCKING, text, cure))
    return found


def find_books(*, sum_minutes: int, entries_sum_minutes: int, accounts_out_of_step: int) -> list[Finding]:
    if not (sum_minutes or entries_sum_minutes or accounts_out_of_step):
        return []
    text = (
        f"Les comptes ne s'équilibrent pas : somme {sum_minutes}, somme des écritures {entries_sum_minutes}, "
        f"{accounts_out_of_step} compte(s) en désaccord avec leurs écritures."
    )
    return [Finding("books-differ", Weight.BLOCKING, text, "N'allez pas plus loin : appelez la personne technique.")]


@dataclass(frozen=True)
class Unspent:
    """What an association did not spend (or had not, when it expired), by its day of expiry, and the notices it was given."""

    association_id: UUID
    name: str | None
    minutes: int
    expires_on: date
    sent_days: frozenset[int]


def find_missing_notices(unspent: Sequence[Unspent]) -> list[Finding]:
    return [finding for one in unspent if (finding := _find_missing_notice(one)) is not None]


def _find_missing_notice(one: Unspent) -> Finding | None:
    missing = [days for days in sorted(NOTICE_DAYS, reverse=True) if days not in one.sent_days]
    if not missing:
        return None
    days = " ni de ".join(f"{day} jours" for day in missing)
    name = f"L'association {one.name or one.association_id} ({hours_text(one.minutes)} non dépensées)"
    return Finding(
        "notice-missing",
        Weight.WARNING,
        f"{name} n'a pas reçu de préavis de {days}.",
        f"Les préavis partent d'eux-mêmes 30 puis 7 jours avant l'échéance ({one.expires_on:%d/%m/%Y}) : attendez-les, ou "
        "acceptez après avoir prévenu l'association par écrit.",
        one.association_id,
        one.minutes,
    )
