"""What an offer has of the skills that a need wants: the same skill, or one that can stand in for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.matching.domain.shared import Skill
from services.matching.engine.referential import Referential
from services.matching.engine.score import SIXTHS
from services.matching.engine.skills import normalise_label


def find_key(skill: Skill, referential: Referential) -> str:
    """What a skill is compared by: its code, also where only its label names it; else the label's words."""
    return skill.code or referential.find_code(skill.label) or normalise_label(skill.label)


def list_near_keys(key: str, referential: Referential, *, from_percent: int) -> dict[str, int]:
    """The skills that can stand in for one, with their share in percent."""
    near = referential.near_percents.get(key, {})
    return {other: percent for other, percent in near.items() if percent >= from_percent}


@dataclass(frozen=True)
class SharedSkill:
    """A skill both sides name, in the need's words, with the level wanted and the level offered."""

    label: str
    wanted: int
    offered: int

    @property
    def sixths(self) -> int:
        """How much of the wish is met, in sixths: 6 from the wanted level on."""
        return SIXTHS * min(self.offered, self.wanted) // self.wanted


@dataclass(frozen=True)
class NearSkill(SharedSkill):
    """A wanted skill that the offer lacks, and the offered one that stands in for `percent` of it."""

    offered_label: str
    percent: int


@dataclass(frozen=True)
class SkillComparison:
    """`missing` are the wanted skills that nothing offered is, or is near to."""

    shared: tuple[SharedSkill, ...]
    near: tuple[NearSkill, ...]
    missing: tuple[Skill, ...]

    @property
    def wanted(self) -> int:
        return len(self.shared) + len(self.near) + len(self.missing)

    @property
    def met_sixths(self) -> int:
        return sum(skill.sixths for skill in self.shared)

    @property
    def near_sixths(self) -> int:
        return sum(skill.percent * skill.sixths for skill in self.near)


def compare_skills(
    wanted: Sequence[Skill], offered: Sequence[Skill], referential: Referential, *, near_from_percent: int
) -> SkillComparison:
    """What the offer has of what the need wants. A skill named twice counts once, at its highest level."""
    has: dict[str, Skill] = {}
    for skill in offered:
        key = find_key(skill, referential)
        has[key] = max(has.get(key, skill), skill, key=lambda known: known.level)
    wishes: dict[str, Skill] = {}
    for skill in wanted:
        key = find_key(skill, referential)
        wishes[key] = max(wishes.get(key, skill), skill, key=lambda wish: wish.level)
    near: dict[str, NearSkill] = {}
    for key, wish in wishes.items():
        percents = referential.near_percents.get(key, {})
        if key not in has and percents and (found := _find_nearest(wish, has, percents, from_percent=near_from_percent)):
            near[key] = found
    return SkillComparison(
        shared=tuple(SharedSkill(wish.label, wish.level, has[key].level) for key, wish in wishes.items() if key in has),
        near=tuple(near.values()),
        missing=tuple(wish for key, wish in wishes.items() if key not in has and key not in near),
    )


def _find_nearest(wish: Skill, has: Mapping[str, Skill], percents: Mapping[str, int], *, from_percent: int) -> NearSkill | None:
    """Of the offered skills near a wish the one that counts most; of equals the first by key."""
    options = [
        (key, NearSkill(wish.label, wish.level, skill.level, skill.label, percents[key]))
        for key, skill in has.items()
        if percents.get(key, 0) >= from_percent
    ]
    return min(options, key=lambda option: (-option[1].percent * option[1].sixths, option[0]))[1] if options else None
