"""What is looked up before facts are written: the codes of skills, the commune, and who may say what."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from kernel.errors import BadInput, FieldError
from kernel.work import Work
from services.matching.domain.confirming import Numbered, confirm_skills, find_kept
from services.matching.domain.needs import NeedFacts
from services.matching.domain.offers import TOWN_FACTS, OfferFacts
from services.matching.domain.shared import Commune, Skill, SkillSource
from services.matching.engine.communes import KnownCommunes, load_communes
from services.matching.engine.referential import Referential
from services.matching.store.known import find_commune, list_communes
from services.matching.use_cases.vocabulary import get_vocabulary

Facts = TypeVar("Facts", NeedFacts, OfferFacts)


async def complete_facts(
    work: Work, facts: Facts, *, before: Sequence[Skill] = (), source: SkillSource = SkillSource.TYPED
) -> Facts:
    """The facts with the codes of their skills, and who confirmed them; `before`: the skills as they are stored.

    Raises BadInput for a code or a commune that nobody knows, and for evidence that the text does not hold.
    """
    if facts.commune is not None and await find_known_commune(work, facts.commune) is None:
        raise BadInput.at(
            "/commune",
            f"{facts.commune} is no commune's INSEE code: write it as in 92071 (not the postcode), "
            "or record the commune in the registry first",
        )
    kept = find_kept(facts.skills, before)
    written = {number: skill for number, skill in enumerate(facts.skills) if number not in kept}
    named = name_skills(written, (await get_vocabulary(work)).referential) if written else written
    text = f"{facts.title}\n{facts.description}"
    confirmed = confirm_skills(named, text=text, default=source, who=work.caller.identity, now=work.now)
    skills = {**kept, **confirmed}
    return replace(facts, skills=tuple(skills[number] for number in range(len(facts.skills))))


async def find_known_commune(work: Work, insee: str) -> Commune | None:
    """As the registry told of it, else as it stands in the list of France."""
    return await find_commune(work, insee) or load_communes().get(insee)


async def known_communes(work: Work) -> Mapping[str, Commune]:
    """Those that the registry told of, then all of France."""
    return KnownCommunes(await list_communes(work))


def name_skills(skills: Numbered, referential: Referential) -> Numbered:
    """Each skill with its code, where its label names one, and with its label, where only the code is written.

    An unknown label stays free text; an unknown code is refused.
    """
    faults = [
        FieldError(f"/skills/{number}/code", f"{skill.code} is no skill here: GET /skills finds codes by words, or leave it out")
        for number, skill in skills.items()
        if skill.code is not None and skill.code not in referential.skills
    ]
    if faults:
        raise BadInput("; ".join(fault.detail for fault in faults), fields=faults)
    return {number: _name(skill, referential) for number, skill in skills.items()}


def _name(skill: Skill, referential: Referential) -> Skill:
    if skill.code is None:
        return replace(skill, code=referential.find_code(skill.label))
    return skill if skill.label else replace(skill, label=referential.skills[skill.code].name_fr)


def check_town_facts(work: Work, facts: Mapping[str, object]) -> None:
    """What only the town establishes, only the town writes. `facts`: by name, those that a request sets."""
    if work.caller.is_town:
        return
    faults = [FieldError(f"/{name}", "is the town's to say; leave it out") for name in TOWN_FACTS if facts.get(name)]
    if faults:
        raise BadInput("; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults), fields=faults)
