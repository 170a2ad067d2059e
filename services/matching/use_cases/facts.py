"""What is looked up before facts are written: the codes of skills, the commune, and who may say what."""

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from kernel.errors import BadInput, FieldError
from kernel.work import Work
from services.matching.domain.needs import NeedFacts
from services.matching.domain.offers import TOWN_FACTS, OfferFacts
from services.matching.domain.shared import Commune, Skill
from services.matching.engine.communes import load_communes
from services.matching.engine.referential import Referential, load_referential
from services.matching.store.known import list_communes

Facts = TypeVar("Facts", NeedFacts, OfferFacts)


async def complete_facts(work: Work, facts: Facts) -> Facts:
    """The facts with the codes of their skills. Raises BadInput for a code or a commune that nobody knows."""
    if facts.commune is not None and facts.commune not in await known_communes(work):
        raise BadInput.at(
            "/commune",
            f"{facts.commune} is no commune's INSEE code: write it as in 92071 (not the postcode), "
            "or record the commune in the registry first",
        )
    return replace(facts, skills=find_codes(facts.skills, load_referential()))


async def known_communes(work: Work) -> Mapping[str, Commune]:
    """Those that the registry told of, then all of France."""
    return ChainMap(await list_communes(work), load_communes())


def find_codes(skills: tuple[Skill, ...], referential: Referential) -> tuple[Skill, ...]:
    """Each skill with its code, where its label names one; an unknown label stays free text, an unknown code is refused."""
    faults = [
        FieldError(f"/skills/{number}/code", f"{skill.code} is not in the skills referential; take one of it, or leave it out")
        for number, skill in enumerate(skills)
        if skill.code is not None and skill.code not in referential.skills
    ]
    if faults:
        raise BadInput("; ".join(fault.detail for fault in faults), fields=faults)
    return tuple(skill if skill.code else replace(skill, code=referential.find_code(skill.label)) for skill in skills)


def check_town_facts(work: Work, facts: Mapping[str, object]) -> None:
    """What only the town establishes, only the town writes. `facts`: by name, those that a request sets."""
    if work.caller.is_town:
        return
    faults = [FieldError(f"/{name}", "is the town's to say; leave it out") for name in TOWN_FACTS if facts.get(name)]
    if faults:
        raise BadInput("; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults), fields=faults)
