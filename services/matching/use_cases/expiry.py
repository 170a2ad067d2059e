"""What ends by the calendar: needs and offers whose last day has passed, and proposals nobody answered in time."""

from kernel.clock import local_date
from kernel.work import Work
from services.matching.domain.states import Deed
from services.matching.store.missions import lock_passed_proposals
from services.matching.store.needs import lock_passed_needs
from services.matching.store.offers import lock_passed_offers
from services.matching.use_cases.ending import cancel_proposal
from services.matching.use_cases.needs import end_need
from services.matching.use_cases.offers import end_offer

BATCH = 200  # rows a transaction, so that nobody waits long for the locks


async def expire_needs(work: Work) -> int:
    needs = await lock_passed_needs(work, today=local_date(work.now), limit=BATCH)
    for need in needs:
        await end_need(work, need, Deed.EXPIRE, reason="La date de fin du besoin est passée.")
    return len(needs)


async def expire_offers(work: Work) -> int:
    offers = await lock_passed_offers(work, today=local_date(work.now), limit=BATCH)
    for offer in offers:
        await end_offer(work, offer, Deed.EXPIRE, reason="La date de fin de l'offre est passée.")
    return len(offers)


async def cancel_late_proposals(work: Work) -> int:
    missions = await lock_passed_proposals(work, today=local_date(work.now), limit=BATCH)
    for mission in missions:
        await cancel_proposal(work, mission, reason="La période est passée sans l'accord de tous les côtés.")
    return len(missions)
