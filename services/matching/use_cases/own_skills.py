"""A territory's own words and skills: added, edited and withdrawn by its officers, each time with who and why.

What is added counts from the commit on, for labels and for suggestions; what people have confirmed stays as it is.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from kernel.errors import BadInput, FieldError, NotFound
from kernel.ids import new_id
from kernel.routing import check_version
from kernel.work import Work
from services.matching.domain.refusals import SkillWordTaken
from services.matching.domain.vocabulary import (
    LocalSkill,
    LocalSkillFacts,
    SkillWord,
    WordKind,
    decide_skill_edit,
    decide_skill_withdrawal,
    decide_word_withdrawal,
    start_own,
)
from services.matching.engine.skills import normalise_label
from services.matching.engine.vocabulary import Naming, Vocabulary, make_slug
from services.matching.store import vocabulary as store
from services.matching.use_cases.searching import refresh_labels
from services.matching.use_cases.vocabulary import read_vocabulary

_KIND_WORDS = {"code": "the code", "name": "the name", "english_name": "the English name", "synonym": "a synonym"}


@dataclass(frozen=True)
class SkillToPropose:
    """What comes in for an own skill: its facts, its synonyms, and why it is wanted."""

    facts: LocalSkillFacts
    synonyms: tuple[str, ...]
    reason: str


async def add_synonym(work: Work, code: str, phrase: str, *, reason: str) -> SkillWord:
    """From now on these words name this skill here. Refused with what they name already."""
    await store.take_turn(work)
    vocabulary = await read_vocabulary(work)
    if code not in vocabulary.referential.skills:
        raise NotFound(f"There is no skill {code} here; GET /skills?q=… finds one by its words.")
    await _check_words(vocabulary, [("/phrase", phrase)])
    if friend := vocabulary.find_false_friend(code, phrase):
        raise SkillWordTaken(
            f"“{friend}” is a false friend of {code} in the referential: it sounds like the skill and means something else.",
            fields=[FieldError("/phrase", f"is a false friend of {code}; add it to the skill that it means")],
            clashes=[{"code": code, "kind": "false_friend", "phrase": friend}],
        )
    word = _make_word(work, code, phrase, kind=WordKind.SYNONYM, reason=reason)
    await store.insert_word(work, word, start_own(who=work.caller.identity, reason=reason))
    await refresh_labels(work, {word.normalised})
    return word


async def withdraw_synonym(work: Work, code: str, id: UUID, *, reason: str) -> SkillWord:
    await store.take_turn(work)
    word = await store.lock_word(work, id, code=code)
    withdrawn, step = decide_word_withdrawal(word, who=work.caller.identity, reason=reason)
    await store.save_word(work, withdrawn, step)
    await refresh_labels(work, {word.normalised})
    return withdrawn


async def propose_skill(work: Work, wish: SkillToPropose) -> LocalSkill:
    """A skill of this territory's own, usable at once."""
    await store.take_turn(work)
    vocabulary = await read_vocabulary(work)
    _check_facts(vocabulary, wish.facts)
    names = list(_list_names(wish.facts))
    await _check_words(vocabulary, [*names, *((f"/synonyms/{place}", phrase) for place, phrase in enumerate(wish.synonyms))])
    skill = LocalSkill(
        id=new_id(),
        code=await _find_free_code(work, vocabulary, wish.facts.name_fr),
        facts=wish.facts,
        reason=wish.reason,
        proposed_by=work.caller.identity,
        proposed_at=work.now,
    )
    step = start_own(who=work.caller.identity, reason=wish.reason)
    await store.insert_local_skill(work, skill, step)
    kinds = {"/name_fr": WordKind.NAME, "/name_en": WordKind.ENGLISH_NAME}
    for pointer, phrase in names:
        await store.insert_word(work, _make_word(work, skill.code, phrase, kind=kinds[pointer], reason=wish.reason), step)
    for phrase in wish.synonyms:
        await store.insert_word(work, _make_word(work, skill.code, phrase, kind=WordKind.SYNONYM, reason=wish.reason), step)
    await refresh_labels(work, {normalise_label(phrase) for phrase in (*wish.synonyms, *(phrase for _, phrase in names))})
    return skill


async def edit_local_skill(work: Work, code: str, changes: dict[str, object], *, reason: str, version: int) -> LocalSkill:
    """Change what a skill says and is near to. Its synonyms have routes of their own; its code stays."""
    await store.take_turn(work)
    skill = await store.get_local_skill(work, code, lock=True)
    check_version(skill.version, version)
    facts = replace(skill.facts, **changes)  # type: ignore[arg-type]
    vocabulary = await read_vocabulary(work)
    _check_facts(vocabulary, facts, code=code)
    edited, step = decide_skill_edit(skill, facts, who=work.caller.identity, reason=reason)
    await store.save_local_skill(work, edited, step)
    await _rename(work, vocabulary, edited, reason=reason)
    return edited


async def withdraw_local_skill(work: Work, code: str, *, reason: str) -> LocalSkill:
    """It is suggested and written no more, and its words are free again."""
    await store.take_turn(work)
    skill = await store.get_local_skill(work, code, lock=True)
    withdrawn, step = decide_skill_withdrawal(skill, who=work.caller.identity, reason=reason)
    await store.save_local_skill(work, withdrawn, step)
    words = await store.lock_words_of(work, code)
    for word in words:
        await store.save_word(work, *decide_word_withdrawal(word, who=work.caller.identity, reason=reason))
    await refresh_labels(work, {word.normalised for word in words})
    return withdrawn


async def _rename(work: Work, vocabulary: Vocabulary, skill: LocalSkill, *, reason: str) -> None:
    """The words that are its names follow its names."""
    kept = {word.normalised: word for word in await store.lock_words_of(work, skill.code) if word.kind is not WordKind.SYNONYM}
    wanted = {normalise_label(phrase): (pointer, phrase) for pointer, phrase in _list_names(skill.facts)}
    step = start_own(who=work.caller.identity, reason=reason)
    for normalised, word in kept.items():
        if normalised not in wanted:
            await store.save_word(work, *decide_word_withdrawal(word, who=work.caller.identity, reason=reason))
    fresh = {normalised: named for normalised, named in wanted.items() if normalised not in kept}
    await _check_words(vocabulary, list(fresh.values()))
    for pointer, phrase in fresh.values():
        kind = WordKind.NAME if pointer == "/name_fr" else WordKind.ENGLISH_NAME
        await store.insert_word(work, _make_word(work, skill.code, phrase, kind=kind, reason=reason), step)
    await refresh_labels(work, kept.keys() ^ wanted.keys())


def _list_names(facts: LocalSkillFacts) -> Sequence[tuple[str, str]]:
    """The French name, and the English one where it is another."""
    names = [("/name_fr", facts.name_fr)]
    if normalise_label(facts.name_en) != normalise_label(facts.name_fr):
        names.append(("/name_en", facts.name_en))
    return names


def _make_word(work: Work, code: str, phrase: str, *, kind: WordKind, reason: str) -> SkillWord:
    return SkillWord(new_id(), code, kind, phrase, normalise_label(phrase), reason, work.caller.identity, work.now)


async def _find_free_code(work: Work, vocabulary: Vocabulary, name: str) -> str:
    """The territory, a colon and the name; numbered where a withdrawn skill had it, for a code is never given to another."""
    slug = make_slug(name)
    if not slug:
        raise BadInput.at("/name_fr", "must have letters from a to z, for its code is made of them")
    if slug in vocabulary.base.skills:
        raise _taken([("/name_fr", Naming(slug, vocabulary.base.skills[slug].name_fr, "code", slug))])
    code, number = f"{work.territory}:{slug}", 1
    while await store.is_code_used(work, code):
        number += 1
        code = f"{work.territory}:{slug}-{number}"
    return code


def _check_facts(vocabulary: Vocabulary, facts: LocalSkillFacts, *, code: str | None = None) -> None:
    groups = vocabulary.base.groups
    if facts.parent not in groups:
        raise BadInput.at("/parent", f"is no group of the referential; take one of {', '.join(groups)}")
    for near in facts.near:
        if near not in vocabulary.referential.skills or near == code:
            raise BadInput.at(f"/near/{near}", "is no other skill here; GET /skills?q=… finds its code, or leave it out")


async def _check_words(vocabulary: Vocabulary, phrases: Sequence[tuple[str, str]]) -> None:
    """Refuse words that say nothing, that stand twice, or that name a skill already; `phrases`: with their pointers."""
    faults = [
        FieldError(pointer, "says nothing alone; give words that name the skill")
        for pointer in await asyncio.to_thread(_find_empty, phrases)
    ]
    seen: dict[str, str] = {}
    for pointer, phrase in phrases:
        first = seen.setdefault(normalise_label(phrase), pointer)
        if first != pointer:
            faults.append(FieldError(pointer, f"reads the same as {first}; leave one of them out"))
    if faults:
        raise BadInput("; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults), fields=faults)
    clashes = [(pointer, naming) for pointer, phrase in phrases for naming in vocabulary.find_namings(phrase)]
    if clashes:
        raise _taken(clashes)


def _find_empty(phrases: Sequence[tuple[str, str]]) -> list[str]:
    from services.matching.engine.vocabulary_search import says_nothing  # noqa: PLC0415  (as in Vocabulary.index)

    return [pointer for pointer, phrase in phrases if says_nothing(phrase)]


def _taken(clashes: Sequence[tuple[str, Naming]]) -> SkillWordTaken:
    fields = [
        FieldError(pointer, f"is {_KIND_WORDS[naming.kind]} of {naming.name_fr} ({naming.code}): “{naming.phrase}”")
        for pointer, naming in clashes
    ]
    detail = "; ".join(f"{fault.pointer} {fault.detail}" for fault in fields)
    cure = "Use that skill, or choose other words."
    members = [vars(naming) | {"pointer": pointer} for pointer, naming in clashes]
    return SkillWordTaken(f"{detail}. {cure}", fields=fields, clashes=members)
