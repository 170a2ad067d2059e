"""What each association and each contributor ends a campaign with, out of the ledger's own entries.

A reversal counts with the kind of transfer that it undoes, so that every figure is net of what was undone.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from uuid import UUID

from services.credits.domain.ledger import AccountKind, TransferKind


@dataclass(frozen=True)
class Flow:
    """What one kind of transfer brought to a holder's accounts of one kind, and what it took (≤ 0)."""

    account: AccountKind
    holder_id: UUID
    kind: TransferKind
    came_minutes: int
    went_minutes: int

    @property
    def net_minutes(self) -> int:
        return self.came_minutes + self.went_minutes


@dataclass(frozen=True)
class AssociationFigures:
    """`reserved` and `released`: everything that missions ever set aside and gave back; `held`: what is set aside now."""

    association_id: UUID
    granted_minutes: int
    carried_in_minutes: int
    reserved_minutes: int
    released_minutes: int
    served_minutes: int
    expired_minutes: int
    carried_over_minutes: int
    held_minutes: int
    credit_minutes: int

    @property
    def agrees(self) -> bool:
        """All that came is spent, set aside, still there, or expired."""
        came = self.granted_minutes + self.carried_in_minutes
        ended = self.served_minutes + self.expired_minutes + self.carried_over_minutes
        return came == self.credit_minutes + self.held_minutes + ended and (
            self.held_minutes == self.reserved_minutes - self.released_minutes - self.served_minutes
        )


@dataclass(frozen=True)
class ContributorFigures:
    """`undelivered`: promised, not taken back, and not served by anybody; `committed`: of it, what running missions wait for."""

    contributor_id: UUID
    pledged_minutes: int
    withdrawn_minutes: int
    delivered_minutes: int
    undelivered_minutes: int
    committed_minutes: int

    @property
    def agrees(self) -> bool:
        return self.pledged_minutes - self.withdrawn_minutes - self.delivered_minutes == self.undelivered_minutes


@dataclass(frozen=True)
class Figures:
    associations: tuple[AssociationFigures, ...]
    contributors: tuple[ContributorFigures, ...]
    pool_minutes: int
    lapsed_minutes: int

    @property
    def agree(self) -> bool:
        """Every holder's figures add up, and so do both sides together."""
        totals = self.totals()
        pool = totals["pledged_minutes"] - totals["withdrawn_minutes"] - totals["granted_minutes"]
        returned = totals["expired_minutes"] - self.lapsed_minutes
        return (
            all(one.agrees for one in self.associations)
            and all(one.agrees for one in self.contributors)
            and totals["served_minutes"] == totals["delivered_minutes"]
            and self.pool_minutes == pool + returned
        )

    def totals(self) -> dict[str, int]:
        sums: defaultdict[str, int] = defaultdict(int)
        rows = [asdict(one) for one in self.associations] + [asdict(one) for one in self.contributors]
        for row in rows:
            for name, value in row.items():
                if name.endswith("_minutes"):
                    sums[name] += value
        names = [*_minutes_of(AssociationFigures), *_minutes_of(ContributorFigures)]
        return {name: sums[name] for name in names} | {"pool_minutes": self.pool_minutes, "lapsed_minutes": self.lapsed_minutes}


def _minutes_of(shape: type) -> list[str]:
    return [name for name in shape.__dataclass_fields__ if name.endswith("_minutes")]  # type: ignore[attr-defined]


def build_figures(
    flows: Iterable[Flow], *, balances: Mapping[tuple[AccountKind, UUID], int], committed: Mapping[UUID, int]
) -> Figures:
    """From the flows and the balances of a campaign, by kind of account and holder."""
    found = {(flow.account, flow.holder_id, flow.kind): flow for flow in flows}
    associations = {holder for kind, holder in balances if kind is AccountKind.CREDIT}
    contributors = {holder for kind, holder in balances if kind is AccountKind.PROMISED}
    own = {kind: minutes for (kind, _), minutes in balances.items() if kind in {AccountKind.POOL, AccountKind.LAPSED}}
    return Figures(
        tuple(_build_association(one, found, balances) for one in sorted(associations)),
        tuple(_build_contributor(one, found, balances, committed.get(one, 0)) for one in sorted(contributors)),
        own.get(AccountKind.POOL, 0),
        own.get(AccountKind.LAPSED, 0),
    )


_Found = Mapping[tuple[AccountKind, UUID, TransferKind], Flow]


def _build_association(
    association_id: UUID, found: _Found, balances: Mapping[tuple[AccountKind, UUID], int]
) -> AssociationFigures:
    def on_credit(kind: TransferKind) -> Flow:
        nothing = Flow(AccountKind.CREDIT, association_id, kind, 0, 0)
        return found.get((AccountKind.CREDIT, association_id, kind), nothing)

    carry = on_credit(TransferKind.CARRY)
    return AssociationFigures(
        association_id,
        granted_minutes=on_credit(TransferKind.GRANT).net_minutes,
        carried_in_minutes=carry.came_minutes,
        reserved_minutes=-on_credit(TransferKind.RESERVE).net_minutes,
        released_minutes=on_credit(TransferKind.RELEASE).net_minutes,
        served_minutes=balances.get((AccountKind.SERVED, association_id), 0),
        expired_minutes=-on_credit(TransferKind.EXPIRE).net_minutes,
        carried_over_minutes=-carry.went_minutes,
        held_minutes=balances.get((AccountKind.HELD, association_id), 0),
        credit_minutes=balances.get((AccountKind.CREDIT, association_id), 0),
    )


def _build_contributor(
    contributor_id: UUID, found: _Found, balances: Mapping[tuple[AccountKind, UUID], int], committed: int
) -> ContributorFigures:
    def on_promised(kind: TransferKind) -> int:
        flow = found.get((AccountKind.PROMISED, contributor_id, kind))
        return flow.net_minutes if flow else 0

    return ContributorFigures(
        contributor_id,
        pledged_minutes=-on_promised(TransferKind.PLEDGE),
        withdrawn_minutes=on_promised(TransferKind.WITHDRAW),
        delivered_minutes=-balances.get((AccountKind.DELIVERED, contributor_id), 0),
        undelivered_minutes=-balances.get((AccountKind.PROMISED, contributor_id), 0),
        committed_minutes=committed,
    )
