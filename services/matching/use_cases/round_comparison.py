"""Two rounds of a campaign side by side: what one proposes and the other does not."""

from uuid import UUID

from kernel.errors import BadInput
from kernel.work import Work
from services.matching.domain.refusals import WrongState
from services.matching.domain.rounds import Round, RoundComparison, RoundProposal
from services.matching.store.round_results import list_proposals
from services.matching.store.rounds import get_round


async def compare_rounds(work: Work, round_id: UUID, *, other_id: UUID) -> RoundComparison:
    one, other = await _get_computed(work, round_id), await _get_computed(work, other_id)
    if one.campaign_id != other.campaign_id:
        raise BadInput.at("query/with", "must be a round of the same campaign")
    mine, theirs = await _by_need(work, one), await _by_need(work, other)
    both = sorted(set(mine) & set(theirs))
    changed = [(tuple(mine[need]), tuple(theirs[need])) for need in both if _pairs(mine[need]) != _pairs(theirs[need])]
    return RoundComparison(
        one,
        other,
        added=tuple(proposal for need in sorted(set(mine) - set(theirs)) for proposal in mine[need]),
        removed=tuple(proposal for need in sorted(set(theirs) - set(mine)) for proposal in theirs[need]),
        changed=tuple(changed),
        same=len(both) - len(changed),
    )


async def _get_computed(work: Work, id: UUID) -> Round:
    found = await get_round(work, id)
    if found.proposals_digest is None:
        raise WrongState(f"Round {id} is {found.state}; only rounds that were computed are compared.", state=found.state.value)
    return found


async def _by_need(work: Work, found: Round) -> dict[UUID, list[RoundProposal]]:
    by_need: dict[UUID, list[RoundProposal]] = {}
    for proposal in await list_proposals(work, found.id):
        by_need.setdefault(proposal.need_id, []).append(proposal)
    return by_need


def _pairs(proposals: list[RoundProposal]) -> set[tuple[UUID, int]]:
    return {(proposal.offer_id, proposal.minutes) for proposal in proposals}
