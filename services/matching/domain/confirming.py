"""When a skill counts as confirmed, and by whom: matching runs on nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from kernel.errors import BadInput, FieldError
from services.matching.domain.shared import Skill, SkillSource

Numbered = Mapping[int, Skill]  # skills by their place in what was written


def find_kept(skills: Sequence[Skill], before: Sequence[Skill]) -> Numbered:
    """Those that stood there before, as they stood: with their code, and who confirmed them when.

    The same are label (or no label, and the code) and level, and the code where one is written. What names its source is
    confirmed anew.
    """
    pairs = ((number, next((known for known in before if _is_same(skill, known)), None)) for number, skill in enumerate(skills))
    return {number: known for number, known in pairs if known is not None}


def _is_same(skill: Skill, known: Skill) -> bool:
    if skill is known:
        return True
    if skill.source is not None or skill.level != known.level:
        return False
    return skill.code in {None, known.code} and (skill.label == known.label or (not skill.label and skill.code is not None))


def confirm_skills(skills: Numbered, *, text: str, default: SkillSource, who: str, now: datetime) -> Numbered:
    """The skills with who confirms them now. Raises BadInput where the evidence is not in the text."""
    words = _plain(text)
    faults = [
        FieldError(
            f"/skills/{number}/evidence/{place}", "is not in the title or description; quote it as suggested, or leave it out"
        )
        for number, skill in skills.items()
        for place, quoted in enumerate(skill.evidence)
        if _plain(quoted) not in words
    ]
    if faults:
        raise BadInput("; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults), fields=faults)
    return {
        number: replace(skill, source=skill.source or default, confirmed_by=who, confirmed_at=now)
        for number, skill in skills.items()
    }


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
