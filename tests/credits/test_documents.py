"""Documents as files: the standards they keep, what any text does to them, and spreadsheets."""

import io
from datetime import UTC, datetime
from typing import Any

import pypdf
import pytest

from kernel.ids import new_id
from services.credits.clients.typst import render_pdf
from services.credits.domain.conventions import CONVENTION_TEMPLATE, Side, Signatory, Version, build_content, digest_of
from services.credits.domain.parties import TOWN_ID
from services.credits.domain.receipts import (
    RECEIPT_TEMPLATE,
    Gift,
    Organisation,
    Receipt,
    ReceiptState,
    build_receipt_content,
)
from services.credits.routes.files import csv_response
from services.credits.schemas.papers import convention_page, day_text, instant_text, receipt_page
from tests.builders.credits import make_campaign, make_hold
from tests.builders.documents import make_party, make_terms

NOW = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)


def make_version(*, title: str = "Refonte du site", template: int = CONVENTION_TEMPLATE) -> Version:
    sides = {side: Signatory(TOWN_ID, "Sceaux", make_party()) for side in Side}
    hold = make_hold()
    content = build_content(
        mission_title=title, hold=hold, campaign=make_campaign(), terms=make_terms(), sides=sides, insee="92071"
    )
    return Version(1, template, content, digest_of(content), "somebody", NOW, ())


def make_receipt(*, gifts: int = 1) -> Receipt:
    organisation = Organisation(new_id(), "Lire Ensemble", make_party())
    given = [Gift(new_id(), 1, f"Mission {n}", 90, 1, 6_000, NOW.date(), NOW.date()) for n in range(gifts)]
    content = build_receipt_content(
        label="2026-0001", beneficiary=organisation, donor=organisation, gifts=given, issued_on=NOW.date(),
        replaces_label=None, reason=None,
    )  # fmt: skip
    return Receipt(
        new_id(), new_id(), new_id(), 2026, 1, ReceiptState.IN_FORCE, RECEIPT_TEMPLATE, content, digest_of(content), NOW
    )


def render_convention(version: Version) -> bytes:
    return render_pdf(f"convention-{version.template}.typ", convention_page("mission", version), made_at=NOW)


class TestRenderPdf:
    def test_the_same_content_gives_the_same_bytes(self) -> None:
        version = make_version()
        assert render_convention(version) == render_convention(version)

    def test_what_was_written_with_the_first_template_keeps_its_words(self) -> None:
        first, newest = (
            pypdf.PdfReader(io.BytesIO(render_convention(make_version(template=number)))).pages[0].extract_text()
            for number in (1, CONVENTION_TEMPLATE)
        )
        assert "Représentée par" in first and "L'entreprise" in first
        assert "Signataire (qualité)" in newest and "L’entreprise" in newest and "'" not in newest

    def test_is_made_to_be_kept_and_read_aloud(self) -> None:
        content = render_convention(make_version())
        reader = pypdf.PdfReader(io.BytesIO(content))
        catalog: Any = reader.trailer["/Root"]
        assert (catalog["/Lang"], catalog["/MarkInfo"]["/Marked"]) == ("fr-FR", True)
        metadata = catalog["/Metadata"].get_data()
        assert b"pdfuaid:part" in metadata
        assert b"pdfaid:part" in metadata
        fonts = reader.pages[0]["/Resources"]["/Font"]  # type: ignore[index]
        assert all("Libertinus" in font.get_object()["/BaseFont"] for font in fonts.values())

    @pytest.mark.parametrize("title", ["#strong[non] $x$ @cle <b> \\ ` * _", "« œuvre » – 1\u202f275 €", "ligne\nautre", "=1+1"])
    def test_text_is_never_read_as_markup(self, title: str) -> None:
        content = render_convention(make_version(title=title))
        words = " ".join(pypdf.PdfReader(io.BytesIO(content)).pages[0].extract_text().split())
        assert " ".join(title.split()) in words

    @pytest.mark.parametrize("title", ["Fête 🎉", "日本語", "\x01\x02", "\ue000", "عربي", "a" * 2000])
    def test_a_sign_that_no_font_has_costs_no_document(self, title: str) -> None:
        assert (render_convention(make_version(title=title))).startswith(b"%PDF")

    def test_a_long_receipt_fills_pages_and_adds_up(self) -> None:
        content = render_pdf("receipt-2.typ", receipt_page(make_receipt(gifts=80), successor_label=None), made_at=NOW)
        pages = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content)).pages]
        assert len(pages) > 1
        text = "".join(pages).replace("\u202f", " ")
        assert "4 800,00 €" in text
        assert "120 h" in text


class TestDates:
    def test_as_french_readers_write_them(self) -> None:
        assert day_text(NOW.date()) == "1er avril 2026"
        assert instant_text(NOW) == "1er avril 2026, 11 h 00"


class TestCsvResponse:
    def test_no_cell_is_a_formula(self) -> None:
        answer = csv_response(("a", "b"), [("=HYPERLINK()", "x;y"), (None, "é")], name="essai")
        assert bytes(answer.body).decode("utf-8-sig") == 'a;b\r\n\'=HYPERLINK();"x;y"\r\n;é\r\n'
