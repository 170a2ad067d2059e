"""The skills as this territory sees them, over HTTP; and labels from real use that none of them knows."""

import asyncio
from typing import Annotated

from fastapi import Header, Path, Query, Response

from kernel.auth import EVERYONE, TOWN, Role
from kernel.errors import NotFound
from kernel.routing import InWork, allow, make_router
from services.matching.engine.skills import normalise_label
from services.matching.engine.unknown_labels import merge_unknown
from services.matching.engine.vocabulary import Vocabulary
from services.matching.schemas.shared import CODE_PATTERN
from services.matching.schemas.skills import SkillDetail, SkillEntry, SkillsOut, UnknownLabelOut, UnknownLabelsOut
from services.matching.store.unknown_labels import list_uncoded_labels
from services.matching.use_cases.vocabulary import get_vocabulary

router = make_router("skills")
Code = Annotated[str, Path(pattern=CODE_PATTERN, max_length=80, description="e.g. `compostage` or `92071:apiculture`.")]
SeenVersion = Annotated[str | None, Header(alias="If-None-Match", description="The ETag that was read: 304 if nothing changed.")]


@router.get("/skills", response_model=SkillsOut, **allow("matching:read", *EVERYONE))
async def list_skills(
    work: InWork,
    response: Response,
    *,
    q: Annotated[str | None, Query(max_length=200, description="Words that all occur in the skill; the closest first.")] = None,
    group: Annotated[str | None, Query(max_length=80, description="Only skills of this group.")] = None,
    seen: SeenVersion = None,
) -> SkillsOut | Response:
    """List the skills: the referential's, with this territory's own words and skills. All in one answer, by name or by `q`."""
    vocabulary = await get_vocabulary(work)
    if _is_seen(vocabulary, seen):
        return Response(status_code=304, headers=_caching(vocabulary))
    response.headers.update(_caching(vocabulary))
    return await asyncio.to_thread(_shape_list, vocabulary, q, group)


def _shape_list(vocabulary: Vocabulary, q: str | None, group: str | None) -> SkillsOut:
    skills = vocabulary.index.find(q) if q and q.strip() else list(vocabulary.referential.skills.values())
    if not q:
        skills.sort(key=lambda skill: normalise_label(skill.name_fr))
    items = [SkillEntry.of(skill, vocabulary) for skill in skills if group is None or skill.parent == group]
    return SkillsOut(version=vocabulary.version, items=items)


@router.get("/skills/unknown-labels", **allow("matching:read", *TOWN, Role.AUDITOR))
async def list_unknown_labels(work: InWork, limit: Annotated[int, Query(ge=1, le=500)] = 100) -> UnknownLabelsOut:
    """Count the labels in needs and offers that no skill knows, and name the skills that come closest."""
    vocabulary = await get_vocabulary(work)
    needs, offers = (
        [(one.label, one.times, one.last_written_at) for one in written] for written in await list_uncoded_labels(work)
    )
    unknown = await asyncio.to_thread(merge_unknown, needs, offers, vocabulary, limit=limit)
    items = [UnknownLabelOut.model_validate(vars(one) | {"nearest": list(one.nearest)}) for one in unknown]
    return UnknownLabelsOut(referential_version=vocabulary.version, items=items)


@router.get("/skills/{code}", response_model=SkillDetail, **allow("matching:read", *EVERYONE))
async def read_skill(work: InWork, code: Code, response: Response, seen: SeenVersion = None) -> SkillDetail | Response:
    """Read a skill, with how people speak of it."""
    vocabulary = await get_vocabulary(work)
    if _is_seen(vocabulary, seen):
        return Response(status_code=304, headers=_caching(vocabulary))
    skill = vocabulary.referential.skills.get(code)
    if skill is None:
        raise NotFound(f"There is no skill {code} here; GET /skills?q=… finds one by its words.")
    response.headers.update(_caching(vocabulary))
    return SkillDetail.of(skill, vocabulary)


def _caching(vocabulary: Vocabulary) -> dict[str, str]:
    return {"etag": f'"{vocabulary.version}"', "cache-control": "private, no-cache"}


def _is_seen(vocabulary: Vocabulary, seen: str | None) -> bool:
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in (seen or "").split(",")}
    return vocabulary.version in tags
