"""Indicators of a campaign, computed from the ledger's transfers at each request."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from kernel.auth import TOWN, Role
from kernel.routing import InWork, allow, make_router
from services.credits.domain.indicators import build_indicators
from services.credits.schemas.indicators import IndicatorsOut, build_indicators_sheet
from services.credits.schemas.plots import SVG, Bar, build_bars
from services.credits.schemas.sheets import CSV, attachment, documented
from services.credits.store import campaigns, registry
from services.credits.store import indicators as store

router = make_router("credits")


class IndicatorFormat(StrEnum):
    JSON = "json"
    CSV = "csv"
    SVG = "svg"


class Series(StrEnum):
    ASSOCIATION = "association"
    FIELD = "field"
    CONTRIBUTOR = "contributor"
    MONTH = "month"


# Of each picture: what it is called, the row's kind, and the two figures drawn.
_PLOTS = {
    Series.ASSOCIATION: ("Heures par association", "Association", ("granted", "accordées"), ("served", "dépensées")),
    Series.FIELD: ("Heures par domaine d'action", "Domaine", ("granted", "accordées"), ("served", "dépensées")),
    Series.CONTRIBUTOR: ("Heures par contributeur", "Contributeur", ("pledged", "promises"), ("served", "livrées")),
    Series.MONTH: ("Heures par mois", "Mois", ("reserved", "réservées"), ("served", "dépensées")),
}


@router.get(
    "/campaigns/{id}/indicators",
    response_model=IndicatorsOut,
    responses=documented(CSV, SVG),
    **allow("credits:read", *TOWN, Role.AUDITOR),
)
async def get_indicators(
    work: InWork,
    id: UUID,
    *,
    format: Annotated[IndicatorFormat, Query(description="csv is for spreadsheets, svg a picture of one series.")] = (
        IndicatorFormat.JSON
    ),
    series: Annotated[Series, Query(description="What the picture shows (svg).")] = Series.ASSOCIATION,
) -> IndicatorsOut | Response:
    """What was granted, set aside, served and lost, by association, field, contributor and month; how fast; how unequally."""
    campaign = await campaigns.get_campaign(work, id)
    moved = await store.list_moved(work, id)
    holders = {one.holder_id for one in moved} | {one.contributor_id for one in moved if one.contributor_id}
    actors = await registry.find_actors(work, holders)
    found = build_indicators(moved, actors=actors, pace=await store.list_pace(work, id))
    shape = IndicatorsOut.of(found, campaign=campaign, actors=actors)
    if format is IndicatorFormat.CSV:
        return attachment(build_indicators_sheet(shape), media_type=CSV, name=f"indicateurs-{campaign.ref}.csv")
    if format is IndicatorFormat.SVG:
        return attachment(_plot(shape, series), media_type=SVG, name=f"indicateurs-{campaign.ref}-{series}.svg")
    return shape


def _plot(found: IndicatorsOut, series: Series) -> str:
    title, kind, (whole, whole_word), (part, part_word) = _PLOTS[series]
    bars = [
        Bar(label, getattr(figures, f"{whole}_minutes"), getattr(figures, f"{part}_minutes"))
        for row_kind, label, figures in found.series()
        if row_kind == kind
    ]
    return build_bars(title, bars, whole=whole_word, part=part_word)
