"""Publications: what was signed, for everybody, with its figures and its notice; never changed, only replaced."""

import asyncio
from uuid import UUID

import pytest

from kernel.events.credits import GrantsPublished
from kernel.ids import new_id
from services.credits.clients.typst import render_pdf
from services.credits.domain.digests import digest_json
from services.credits.domain.errors import AlreadyPublished, NotFound, ProposalNotSigned
from services.credits.domain.grants import Adjustment, PanelSeat, compute_grants, digest_computation
from services.credits.domain.publications import Publication, write_notice, write_rule
from services.credits.schemas.publications import PublicationOut, build_publication_document, build_publication_sheet
from services.credits.store import campaigns, grants
from services.credits.store import publications as store
from services.credits.use_cases.grants import propose_grants
from services.credits.use_cases.publications import publish_grants
from services.credits.use_cases.reversals import reverse_transfer
from tests.builders.credits import Scene, make_rules, make_seat


async def publish(scene: Scene, proposal_id: UUID, *, contact: str | None = None) -> Publication:
    async with scene.work() as work:
        return await publish_grants(work, scene.campaign_id, proposal_id=proposal_id, contact=contact)


async def grant(scene: Scene) -> UUID:
    """A pool of 10 h cut between two associations, one of them adjusted."""
    await scene.pledge(600)
    association = await scene.admit(entitled_minutes=600)
    await scene.admit(entitled_minutes=300)
    return await scene.sign([Adjustment(association, 390, "Déjà aidée par le département")])


class TestWriteRule:
    def test_says_the_rule_with_its_figures(self) -> None:
        rules = make_rules(compensation_permille=600, hour_value_cents=4500)
        computed = compute_grants([PanelSeat(UUID(int=1), 960_000, 800_000)], rules=rules, pool_minutes=600)
        text = " ".join(write_rule(computed, adjusted=0)).replace("\u202f", " ")
        assert "× 0,6 ÷ 45,00 € × 60" in text and "pas de 15 min" in text
        assert "L'enveloppe contenait 10 h et l'ensemble du panel avait droit à 21 h 15" in text

    def test_says_what_applies_and_nothing_else(self) -> None:
        plain = " ".join(write_rule(compute_grants([make_seat()], rules=make_rules(), pool_minutes=9000), adjusted=0))
        assert "elle suffit" in plain
        assert "plus forts restes" not in plain and "complémentaire" not in plain and "ajustées" not in plain
        again = compute_grants([make_seat(already_granted_minutes=60)], rules=make_rules(), pool_minutes=9000)
        assert "complémentaire" in " ".join(write_rule(again, adjusted=0))
        assert "motif : 2" in " ".join(write_rule(again, adjusted=2))


class TestWriteNotice:
    def test_holds_what_the_law_asks_for(self) -> None:
        computed = compute_grants([make_seat()], rules=make_rules(), pool_minutes=600)
        text = " ".join(write_notice(computed, town="Sceaux", contact="le service de la vie associative"))
        for part in (
            "article L. 311-3-1", "Finalité", "Part du traitement", "Données et sources", "Paramètres", "Opérations",
            "communication des règles", "le service de la vie associative (Sceaux)", "commission d'accès aux documents",
        ):  # fmt: skip
            assert part in text


class TestPublishGrants:
    async def test_keeps_every_line_with_its_inputs(self, scene: Scene) -> None:
        proposal_id = await grant(scene)
        found = await publish(scene, proposal_id, contact="le service de la vie associative")
        shape = PublicationOut.of(found)
        assert (found.number, found.replaces, shape.content.total_minutes) == (1, None, 585)
        first, second = shape.content.lines
        assert (first.subsidy_before_cents, first.computed_minutes, first.minutes) == (60_000, 405, 390)
        assert (first.adjustment_reason, second.adjustment_reason) == ("Déjà aidée par le département", None)
        assert "÷ 60,00" in first.explanation
        assert any("le service de la vie associative" in sentence for sentence in shape.content.notice)
        (event,) = await scene.published(GrantsPublished)
        assert (event.publication_id, event.digest) == (found.id, found.digest)

    async def test_its_digest_can_be_computed_from_what_is_read(self, scene: Scene) -> None:
        proposal_id = await grant(scene)
        published = await publish(scene, proposal_id)
        async with scene.work() as work:
            read = await store.get_publication(work, scene.campaign_id, published.id)
            campaign = await campaigns.get_campaign(work, scene.campaign_id)
            computed = await grants.get_computation(work, scene.campaign_id, proposal_id, campaign=campaign)
            signature = await grants.find_signature(work, proposal_id)
        shown = PublicationOut.of(read).content.model_dump(mode="json")
        assert digest_json(shown) == read.digest == published.digest
        stands_under = digest_computation(computed, campaign_id=scene.campaign_id, proposal_id=proposal_id)
        assert signature is not None
        assert signature.computation_digest == shown["signature"]["computation_digest"] == stands_under

    async def test_refuses_what_is_not_signed(self, scene: Scene) -> None:
        await scene.pledge(600)
        await scene.admit(entitled_minutes=600)
        async with scene.work() as work:
            proposal_id = await propose_grants(work, scene.campaign_id)
        with pytest.raises(ProposalNotSigned):
            await publish(scene, proposal_id)
        with pytest.raises(NotFound):
            await publish(scene, new_id())

    async def test_says_the_same_only_once(self, scene: Scene) -> None:
        proposal_id = await grant(scene)
        await publish(scene, proposal_id)
        with pytest.raises(AlreadyPublished, match="Publication 1"):
            await publish(scene, proposal_id)

    async def test_is_numbered_without_gap_however_many_publish_at_once(self, scene: Scene) -> None:
        proposal_id = await grant(scene)
        results = await asyncio.gather(*(publish(scene, proposal_id) for _ in range(4)), return_exceptions=True)
        assert sum(isinstance(result, Publication) for result in results) == 1
        assert [row["number"] for row in await scene.fetch("SELECT number FROM grant_publication")] == [1]

    async def test_a_reversal_is_published_anew_and_replaces(self, scene: Scene) -> None:
        proposal_id = await grant(scene)
        first = await publish(scene, proposal_id)
        (row,) = await scene.fetch("SELECT id FROM transfer WHERE kind = 'grant' AND minutes = 195")
        async with scene.work() as work:
            await reverse_transfer(work, row["id"], reason="Association dissoute")
        second = await publish(scene, proposal_id)
        assert (second.number, second.replaces, second.content["replaces_number"]) == (2, first.id, 1)
        assert second.content["total_reversed_minutes"] == 195
        assert first.content["total_reversed_minutes"] == 0

    async def test_a_reversal_in_part_is_published_and_granted_anew(self, scene: Scene) -> None:
        proposal_id = await grant(scene)
        await publish(scene, proposal_id)
        (row,) = await scene.fetch("SELECT id FROM transfer WHERE kind = 'grant' AND minutes = 195")
        async with scene.work() as work:
            await reverse_transfer(work, row["id"], reason="Erreur de saisie", minutes=60)
        corrected = PublicationOut.of(await publish(scene, proposal_id)).content
        assert [line.reversed_minutes for line in corrected.lines] == [0, 60]
        await scene.pledge(600)
        further = PublicationOut.of(await publish(scene, await scene.sign())).content
        assert [(line.already_granted_minutes, line.minutes) for line in further.lines] == [(390, 210), (135, 165)]

    async def test_a_further_grant_is_a_publication_of_its_own(self, scene: Scene) -> None:
        await publish(scene, await grant(scene))
        await scene.pledge(600)
        further = await publish(scene, await scene.sign())
        assert (further.number, further.replaces) == (2, None)
        lines = PublicationOut.of(further).content.lines
        assert [(line.already_granted_minutes, line.minutes) for line in lines] == [(390, 210), (195, 105)]
        assert any("complémentaire" in sentence for sentence in further.content["rule_text"])
        assert await scene.sign()  # nothing is due any more
        async with scene.work() as work:
            assert [seat.already_granted_minutes for seat in await campaigns.list_seats(work, scene.campaign_id)] == [600, 300]


class TestBuildPublicationSheet:
    async def test_has_a_row_an_association(self, scene: Scene) -> None:
        found = await publish(scene, await grant(scene))
        lines = build_publication_sheet(found).strip().split("\r\n")
        assert len(lines) == 3
        assert ";600;0;0;600;600;600;405;390;Déjà aidée par le département;0;" in lines[1]


class TestBuildPublicationDocument:
    async def test_is_a_pdf_that_markup_in_names_and_reasons_cannot_change(self, scene: Scene) -> None:
        await scene.pledge(600)
        await scene.record_actor()
        association = await scene.admit(entitled_minutes=600)
        proposal_id = await scene.sign([Adjustment(association, 390, '#panic("x") $ * _ ] \\ <a> @b')])
        found = await publish(scene, proposal_id)
        pdf = render_pdf("grant_publication.typ", build_publication_document(found))
        assert pdf.startswith(b"%PDF-")
        assert pdf == render_pdf("grant_publication.typ", build_publication_document(found))
