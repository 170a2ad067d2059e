"""What a territory adds to the skills, over HTTP: synonyms, and skills of its own."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response
from starlette.responses import PlainTextResponse

from kernel.auth import TOWN, Role
from kernel.errors import NotFound
from kernel.paging import OnePage, Page, fetch_page
from kernel.routing import InWork, VersionToEdit, allow, make_router
from kernel.work import Work
from services.matching.domain.states import OwnState
from services.matching.domain.vocabulary import LocalSkill, WordKind
from services.matching.engine.vocabulary_export import export_toml
from services.matching.routes.shared import set_etag
from services.matching.routes.skills import Code
from services.matching.schemas.shared import ReasonBody, history_values
from services.matching.schemas.skills import (
    SkillProposalBody,
    SkillProposalDetail,
    SkillProposalEdit,
    SkillProposalOut,
    SynonymBody,
    SynonymOut,
    proposal_values,
)
from services.matching.store.history import list_steps
from services.matching.store.vocabulary import (
    get_local_skill,
    list_steps_of_words,
    local_skill_from,
    select_local_skills,
    select_words,
    word_from,
)
from services.matching.tables import local_skill as skill_table
from services.matching.tables import local_skill_event
from services.matching.tables import skill_word as word_table
from services.matching.use_cases import own_skills as use_cases
from services.matching.use_cases.own_skills import SkillToPropose
from services.matching.use_cases.vocabulary import get_vocabulary, read_vocabulary

router = make_router("skills")
READERS = (*TOWN, Role.AUDITOR)
TOML = "application/toml"
OfState = Annotated[OwnState | None, Query()]


@router.post("/skills/{code}/synonyms", status_code=201, **allow("matching:write", *TOWN))
async def add_synonym(work: InWork, code: Code, body: SynonymBody) -> SynonymOut:
    """Add words that name a skill in this territory, for labels and suggestions from now on."""
    word = await use_cases.add_synonym(work, code, body.phrase, reason=body.reason)
    return SynonymOut.of(word, await read_vocabulary(work))


@router.get("/skills/{code}/synonyms", **allow("matching:read", *READERS))
async def list_synonyms(work: InWork, code: Code, page: OnePage, state: OfState = None) -> Page[SynonymOut]:
    """List the words that this territory added to a skill, withdrawn ones too: who, when, why."""
    return await _list_synonyms(work, page, code=code, state=state)


@router.get("/skill-synonyms", **allow("matching:read", *READERS))
async def list_all_synonyms(work: InWork, page: OnePage, state: OfState = None) -> Page[SynonymOut]:
    """List the words that this territory added to any skill."""
    return await _list_synonyms(work, page, code=None, state=state)


async def _list_synonyms(work: Work, page: OnePage, *, code: str | None, state: OwnState | None) -> Page[SynonymOut]:
    query = select_words().where(word_table.c.kind == WordKind.SYNONYM)
    for column, value in (("code", code), ("state", state)):
        if value is not None:
            query = query.where(word_table.c[column] == value)
    vocabulary = await get_vocabulary(work)
    found = await fetch_page(
        work, query, by=word_table.c.id, page=page, shape=lambda row: SynonymOut.of(word_from(row), vocabulary)
    )
    if code is not None and not found.items and code not in vocabulary.referential.skills:
        raise NotFound(f"There is no skill {code} here; GET /skills?q=… finds one by its words.")
    steps = await list_steps_of_words(work, [word.id for word in found.items])
    items = [word.with_history(steps.get(word.id, ())) for word in found.items]
    return found.model_copy(update={"items": items})


@router.post("/skills/{code}/synonyms/{synonym_id}/withdrawal", **allow("matching:write", *TOWN))
async def withdraw_synonym(work: InWork, code: Code, synonym_id: UUID, body: ReasonBody) -> SynonymOut:
    """Withdraw words that this territory added. Skills that people have confirmed by them stay."""
    word = await use_cases.withdraw_synonym(work, code, synonym_id, reason=body.reason)
    return SynonymOut.of(word, await read_vocabulary(work))


@router.post("/skill-proposals", status_code=201, **allow("matching:write", *TOWN))
async def propose_skill(work: InWork, body: SkillProposalBody, response: Response) -> SkillProposalOut:
    """Propose a skill: usable here at once under the territory's own code, exported for review to the referential."""
    skill = await use_cases.propose_skill(work, SkillToPropose(body.facts(), tuple(body.synonyms), body.reason))
    return await _answer(work, response, skill)


@router.get("/skill-proposals", **allow("matching:read", *READERS))
async def list_skill_proposals(work: InWork, page: OnePage, state: OfState = None) -> Page[SkillProposalOut]:
    """List the skills that this territory has proposed."""
    query = select_local_skills()
    if state is not None:
        query = query.where(skill_table.c.state == state)
    vocabulary = await get_vocabulary(work)

    def shape(row: Any) -> SkillProposalOut:
        return SkillProposalOut.of(local_skill_from(row), vocabulary)

    return await fetch_page(work, query, by=skill_table.c.id, page=page, shape=shape)


@router.get(
    "/skill-proposals/export",
    response_class=PlainTextResponse,
    responses={200: {"content": {TOML: {"schema": {"type": "string"}}}}},
    **allow("matching:read", *READERS),
)
async def export_skill_proposals(work: InWork) -> Response:
    """This territory's skills and synonyms in force, as a TOML file of the referential, for review."""
    content = export_toml(await get_vocabulary(work), territory=work.territory)
    name = f"propositions-{work.territory}.toml"
    return Response(content, media_type=TOML, headers={"content-disposition": f'attachment; filename="{name}"'})


@router.get("/skill-proposals/{code}", **allow("matching:read", *READERS))
async def read_skill_proposal(work: InWork, code: Code, response: Response) -> SkillProposalDetail:
    """Read a proposed skill with its history."""
    skill = await get_local_skill(work, code)
    set_etag(response, skill.version)
    history = history_values(await list_steps(work, local_skill_event, skill.id))
    return SkillProposalDetail.model_validate(proposal_values(skill, await get_vocabulary(work)) | {"history": history})


@router.patch("/skill-proposals/{code}", **allow("matching:write", *TOWN))
async def edit_skill_proposal(
    work: InWork, code: Code, body: SkillProposalEdit, version: VersionToEdit, response: Response
) -> SkillProposalOut:
    """Edit a proposed skill; its code stays, and its synonyms are added and withdrawn as any other's."""
    edited = await use_cases.edit_local_skill(work, code, body.changes(), reason=body.reason, version=version)
    return await _answer(work, response, edited)


@router.post("/skill-proposals/{code}/withdrawal", **allow("matching:write", *TOWN))
async def withdraw_skill_proposal(work: InWork, code: Code, body: ReasonBody, response: Response) -> SkillProposalOut:
    """Withdraw a proposed skill: it is suggested and written no more; where people have confirmed it, it stays."""
    return await _answer(work, response, await use_cases.withdraw_local_skill(work, code, reason=body.reason))


async def _answer(work: Work, response: Response, skill: LocalSkill) -> SkillProposalOut:
    set_etag(response, skill.version)
    return SkillProposalOut.of(skill, await read_vocabulary(work))
