"""A territory's own words and skills as rows."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from kernel.errors import NotFound
from kernel.ids import new_id
from kernel.statements import Prepared
from kernel.work import Work
from services.matching.domain.states import OwnState, Step
from services.matching.domain.vocabulary import LocalSkill, LocalSkillFacts, SkillWord, WordKind
from services.matching.store.history import save_steps
from services.matching.tables import local_skill, local_skill_event, skill_word, skill_word_event, vocabulary

_LISTS = ("asks", "gives", "titles", "tools", "false_friends")


_REVISION = Prepared(select(vocabulary.c.revision, vocabulary.c.mark))


async def get_revision(work: Work) -> tuple[int, UUID | None]:
    """How often the territory's vocabulary was changed, and the mark of the last change; (0, None) where it never was."""
    row = (await work.run(_REVISION)).first()
    return (row.revision, row.mark) if row else (0, None)


async def take_turn(work: Work) -> None:
    """One change of a territory's vocabulary at a time: whoever comes second sees what the first has added."""
    first = upsert(vocabulary).values(territory=work.territory, revision=1, mark=new_id(), changed_at=work.now)
    again = {"revision": vocabulary.c.revision + 1, "mark": new_id(), "changed_at": work.now}
    await work.connection.execute(first.on_conflict_do_update(index_elements=["territory"], set_=again))


async def list_words(work: Work) -> list[SkillWord]:
    """Those in force."""
    query = select_words().where(skill_word.c.state == OwnState.IN_FORCE).order_by(skill_word.c.id)
    return [word_from(row) for row in await work.connection.execute(query)]


def select_words() -> Select[Any]:
    return select(skill_word)


async def lock_word(work: Work, id: UUID, *, code: str) -> SkillWord:
    query = select_words().where(skill_word.c.id == id, skill_word.c.code == code, skill_word.c.kind == WordKind.SYNONYM)
    row = (await work.connection.execute(query.with_for_update())).first()
    if row is None:
        raise NotFound(f"There is no own synonym {id} of {code} here; GET /skills/{code}/synonyms lists them.")
    return word_from(row)


async def lock_words_of(work: Work, code: str) -> list[SkillWord]:
    """All words in force of a skill."""
    query = select_words().where(skill_word.c.code == code, skill_word.c.state == OwnState.IN_FORCE).order_by(skill_word.c.id)
    return [word_from(row) for row in await work.connection.execute(query.with_for_update())]


async def insert_word(work: Work, word: SkillWord, step: Step[OwnState]) -> None:
    values = {name: getattr(word, name) for name in word.__dataclass_fields__}
    await work.connection.execute(insert(skill_word), {"territory": work.territory, **values})
    await save_steps(work, skill_word_event, word.id, step)


async def save_word(work: Work, word: SkillWord, step: Step[OwnState]) -> None:
    changed = {"state": word.state, "version": word.version}
    await work.connection.execute(update(skill_word).where(skill_word.c.id == word.id), changed)
    await save_steps(work, skill_word_event, word.id, step)


async def list_steps_of_words(work: Work, ids: Sequence[UUID]) -> dict[UUID, list[Row[Any]]]:
    """Their history, by word."""
    query = select(skill_word_event).where(skill_word_event.c.subject_id.in_(ids)).order_by(skill_word_event.c.id)
    found: dict[UUID, list[Row[Any]]] = {}
    for row in await work.connection.execute(query):
        found.setdefault(row.subject_id, []).append(row)
    return found


async def list_local_skills(work: Work) -> list[LocalSkill]:
    """Those in force."""
    query = select_local_skills().where(local_skill.c.state == OwnState.IN_FORCE).order_by(local_skill.c.id)
    return [local_skill_from(row) for row in await work.connection.execute(query)]


def select_local_skills() -> Select[Any]:
    return select(local_skill)


async def is_code_used(work: Work, code: str) -> bool:
    """Whether a skill has or had this code."""
    return (await work.connection.execute(select(local_skill.c.id).where(local_skill.c.code == code))).first() is not None


async def get_local_skill(work: Work, code: str, *, lock: bool = False) -> LocalSkill:
    query = select_local_skills().where(local_skill.c.code == code)
    row = (await work.connection.execute(query.with_for_update() if lock else query)).first()
    if row is None:
        raise NotFound(f"This territory has proposed no skill {code}; GET /skill-proposals lists its own.")
    return local_skill_from(row)


async def insert_local_skill(work: Work, skill: LocalSkill, step: Step[OwnState]) -> None:
    values = {
        "territory": work.territory, "id": skill.id, "code": skill.code, "reason": skill.reason,
        "proposed_by": skill.proposed_by, "proposed_at": skill.proposed_at, **_changing(skill),
    }  # fmt: skip
    await work.connection.execute(insert(local_skill), values)
    await save_steps(work, local_skill_event, skill.id, step)


async def save_local_skill(work: Work, skill: LocalSkill, step: Step[OwnState]) -> None:
    await work.connection.execute(update(local_skill).where(local_skill.c.id == skill.id), _changing(skill))
    await save_steps(work, local_skill_event, skill.id, step)


def _changing(skill: LocalSkill) -> dict[str, Any]:
    facts = skill.facts
    return {
        "name_fr": facts.name_fr,
        "name_en": facts.name_en,
        "definition": facts.definition,
        "parent": facts.parent,
        "near": dict(facts.near),
        **{name: list(getattr(facts, name)) for name in _LISTS},
        "state": skill.state,
        "version": skill.version,
    }


def word_from(row: Row[Any]) -> SkillWord:
    return SkillWord(
        row.id, row.code, WordKind(row.kind), row.phrase, row.normalised, row.reason, row.added_by, row.added_at,
        OwnState(row.state), row.version,
    )  # fmt: skip


def local_skill_from(row: Row[Any]) -> LocalSkill:
    lists = {name: tuple(getattr(row, name)) for name in _LISTS}
    facts = LocalSkillFacts(row.name_fr, row.name_en, row.definition, row.parent, dict(row.near), **lists)
    return LocalSkill(
        row.id, row.code, facts, row.reason, row.proposed_by, row.proposed_at, OwnState(row.state), row.version
    )  # fmt: skip
