"""The close of a campaign: its dry run, its steps, its report and statements."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import Row

from services.credits.domain.campaigns import Campaign, CampaignState, ExpiryRule
from services.credits.domain.closing_plan import Plan, committed_minutes, sum_by_kind, sum_of
from services.credits.domain.closing_report import Part, Report
from services.credits.domain.closings import TITLES, Closing, Finding, Step, StepState, Weight, list_in_the_way
from services.credits.domain.holds import Hold
from services.credits.domain.ledger import AccountKind
from services.credits.schemas.fields import Body

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FindingKey = Annotated[str, StringConstraints(pattern=r"^[a-z-]{1,40}(/[0-9a-f-]{36})?$")]
Names = Mapping[UUID, str]


class StepBody(Body):
    accept: list[FindingKey] = Field(
        default_factory=list, max_length=5000, description="Warnings that you take upon yourself, by key or by code."
    )


class SignatureBody(Body):
    digest: Digest = Field(description="Of the report that you read; the signature stands under it.")


class FindingOut(BaseModel):
    key: str = Field(description="Accept it by this key, or all of its kind by its code.")
    code: str
    weight: Weight = Field(description="A warning stands in the way until it is accepted, what blocks until it is mended.")
    text: str = Field(description="A French sentence: what is the case.")
    cure: str = Field(description="A French sentence: what to do.")
    subject_id: UUID | None
    minutes: int | None

    @classmethod
    def of(cls, one: Finding) -> "FindingOut":
        return cls(
            key=one.key, code=one.code, weight=one.weight, text=one.text, cure=one.cure,
            subject_id=one.subject_id, minutes=one.minutes,
        )  # fmt: skip


class LotExpiryOut(BaseModel):
    lot_id: UUID
    association_id: UUID
    association_name: str | None
    minutes: int
    expires_at: datetime
    outcome: str = Field(description="returned, lapsed or carried_over")


class ClosingHoldOut(BaseModel):
    mission_id: UUID
    association_id: UUID
    association_name: str | None
    contributor_id: UUID | None
    minutes: int
    ends_on: date | None

    @classmethod
    def of(cls, hold: Hold, *, names: Names) -> "ClosingHoldOut":
        return cls(
            mission_id=hold.mission_id, association_id=hold.association_id, association_name=names.get(hold.association_id),
            contributor_id=hold.contributor_id, minutes=hold.held_minutes, ends_on=hold.ends_on,
        )  # fmt: skip


class PreviewAssociationOut(BaseModel):
    association_id: UUID
    association_name: str | None
    credit_minutes: int = Field(description="Unspent now.")
    expiring_minutes: int = Field(description="What would expire, with overdue holds that go back.")
    held_minutes: int = Field(description="What would stay set aside for missions.")
    served_minutes: int


class PreviewContributorOut(BaseModel):
    contributor_id: UUID
    contributor_name: str | None
    delivered_minutes: int
    undelivered_minutes: int = Field(description="Promised and served by nobody.")
    committed_minutes: int = Field(description="Of it, what surviving missions wait for.")


class ClosingPreviewOut(BaseModel):
    """Nothing of this is written."""

    campaign_id: UUID
    campaign_state: CampaignState
    expiry: ExpiryRule
    outcome: str
    expired_minutes: int
    lots: list[LotExpiryOut]
    associations: list[PreviewAssociationOut]
    contributors: list[PreviewContributorOut]
    released_holds: list[ClosingHoldOut] = Field(description="Past the grace: they would go back and expire.")
    surviving_holds: list[ClosingHoldOut] = Field(description="They keep their credit until their mission's own end.")
    before_minutes: dict[AccountKind, int]
    after_minutes: dict[AccountKind, int]
    findings: list[FindingOut]

    @classmethod
    def of(cls, campaign: Campaign, plan: Plan, findings: Sequence[Finding], *, names: Names) -> "ClosingPreviewOut":
        return cls(
            campaign_id=campaign.id,
            campaign_state=campaign.state,
            expiry=campaign.facts.rules.expiry,
            outcome=plan.outcome,
            expired_minutes=plan.expired_minutes,
            lots=[
                LotExpiryOut(
                    lot_id=one.lot.id, association_id=one.lot.association_id,
                    association_name=names.get(one.lot.association_id), minutes=one.minutes,
                    expires_at=one.lot.expires_at, outcome=one.outcome,
                )
                for one in plan.expiries
            ],
            associations=_associations(plan, names),
            contributors=_contributors(plan, names),
            released_holds=[ClosingHoldOut.of(hold, names=names) for hold in plan.released],
            surviving_holds=[ClosingHoldOut.of(hold, names=names) for hold in plan.surviving],
            before_minutes={AccountKind(kind): minutes for kind, minutes in sum_by_kind(plan.before).items()},
            after_minutes={AccountKind(kind): minutes for kind, minutes in sum_by_kind(plan.after).items()},
            findings=[FindingOut.of(one) for one in findings],
        )  # fmt: skip


def _associations(plan: Plan, names: Names) -> list[PreviewAssociationOut]:
    credit, held = sum_of(plan.before, AccountKind.CREDIT), sum_of(plan.after, AccountKind.HELD)
    served, expiring = sum_of(plan.after, AccountKind.SERVED), plan.expired_by_association()
    return [
        PreviewAssociationOut(
            association_id=one, association_name=names.get(one), credit_minutes=credit[one],
            expiring_minutes=expiring.get(one, 0), held_minutes=held.get(one, 0), served_minutes=served.get(one, 0),
        )
        for one in sorted(credit)
    ]  # fmt: skip


def _contributors(plan: Plan, names: Names) -> list[PreviewContributorOut]:
    promised, delivered = sum_of(plan.after, AccountKind.PROMISED), sum_of(plan.after, AccountKind.DELIVERED)
    committed = committed_minutes(plan.surviving)
    return [
        PreviewContributorOut(
            contributor_id=one, contributor_name=names.get(one), delivered_minutes=-delivered.get(one, 0),
            undelivered_minutes=-promised[one], committed_minutes=committed.get(one, 0),
        )
        for one in sorted(promised)
    ]  # fmt: skip


class StepOut(BaseModel):
    step: Step
    title: str
    state: StepState
    figures: dict[str, int | str] = Field(description="Of its last try.")
    findings: list[FindingOut] = Field(description="Of its last try.")
    in_the_way: list[str] = Field(description="Keys of what must be mended or accepted before it can be done.")
    by: str | None
    at: datetime | None

    @classmethod
    def of(cls, closing: Closing, step: Step) -> "StepOut":
        last = closing.last_try(step)
        if last is None:
            return cls(
                step=step, title=TITLES[step], state=StepState.TODO, figures={}, findings=[], in_the_way=[], by=None, at=None
            )
        blocked = last.state is StepState.BLOCKED
        in_the_way = list_in_the_way(last.findings, accepted=closing.accepted) if blocked else []
        return cls(
            step=step, title=TITLES[step], state=last.state, figures=dict(last.figures),
            findings=[FindingOut.of(one) for one in last.findings], in_the_way=[one.key for one in in_the_way],
            by=last.by, at=last.at,
        )  # fmt: skip


class ReportSummary(BaseModel):
    campaign_id: UUID
    number: int = Field(description="0 is the report, those after it are addenda.")
    digest: str = Field(description="SHA-256 of the content as canonical JSON: keys sorted, no blanks, ASCII only.")
    drawn_up_by: str
    drawn_up_at: datetime
    signed_by: str | None
    signed_at: datetime | None

    @classmethod
    def of(cls, report: Report) -> "ReportSummary":
        return cls(
            campaign_id=report.campaign_id, number=report.number, digest=report.text.digest, drawn_up_by=report.drawn_up_by,
            drawn_up_at=report.drawn_up_at, signed_by=report.signed_by, signed_at=report.signed_at,
        )  # fmt: skip


class ReportOut(ReportSummary):
    content: dict[str, Any] = Field(description="As it was drawn up; it never changes.")

    @classmethod
    def of(cls, report: Report) -> "ReportOut":
        return cls(**ReportSummary.of(report).model_dump(), content=report.text.facts)


class ClosingOut(BaseModel):
    campaign_id: UUID
    reason: str
    begun_by: str
    begun_at: datetime
    steps: list[StepOut]
    next_step: Step | None = Field(description="Null once the report is signed.")
    next: str = Field(description="What to do next, as a French sentence.")
    reports: list[ReportSummary]
    movements_since: int = Field(description="Transfers after the last report: above zero, an addendum is due.")

    @classmethod
    def of(cls, closing: Closing, *, reports: Sequence[Report], movements: int) -> "ClosingOut":
        steps = [StepOut.of(closing, step) for step in Step]
        return cls(
            campaign_id=closing.campaign_id, reason=closing.reason, begun_by=closing.begun_by, begun_at=closing.begun_at,
            steps=steps, next_step=closing.next_step, next=_say_next(steps, reports=reports, movements=movements),
            reports=[ReportSummary.of(one) for one in reports], movements_since=movements,
        )  # fmt: skip


def _say_next(steps: Sequence[StepOut], *, reports: Sequence[Report], movements: int) -> str:
    following = next((one for one in steps if one.state is not StepState.DONE), None)
    if following is not None and following.state is StepState.BLOCKED:
        cures = [one.cure for one in following.findings if one.key in following.in_the_way]
        return f"{following.title} : arrêté. " + " ".join(dict.fromkeys(cures))
    if following is not None and following.step is Step.SIGN:
        return f"Lisez le rapport, puis signez son empreinte {reports[-1].text.digest}."
    if following is not None:
        return f"{following.title}."
    if reports and not reports[-1].is_signed:
        return f"Lisez l'additif {reports[-1].number}, puis signez son empreinte {reports[-1].text.digest}."
    if movements:
        return f"{movements} écriture(s) ont suivi le rapport : établissez un additif, puis signez-le."
    return "Rien : le rapport est signé."


class ClosingStatementOut(BaseModel):
    id: UUID
    campaign_id: UUID
    report_number: int
    part: Part
    holder_id: UUID
    digest: str
    content: dict[str, Any] = Field(description="Closing figures and where each account stood; it never changes.")

    @classmethod
    def of(cls, row: Row[Any]) -> "ClosingStatementOut":
        return cls(
            id=row.id, campaign_id=row.campaign_id, report_number=row.number, part=row.part, holder_id=row.holder_id,
            digest=row.digest, content=orjson.loads(row.content),
        )  # fmt: skip
