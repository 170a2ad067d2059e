"""What goes out for skills, and what comes in for a territory's own words and skills."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from services.matching.domain.states import OwnState
from services.matching.domain.vocabulary import LocalSkill, LocalSkillFacts, SkillWord
from services.matching.engine.referential import ReferentialSkill
from services.matching.engine.suggesting import Quote, Suggestion
from services.matching.engine.vocabulary import Vocabulary
from services.matching.schemas.shared import (
    NO_NUL,
    Body,
    Description,
    HistoryOut,
    Label,
    Sentence,
    SkillCode,
    Title,
    history_values,
)

Phrase = Annotated[str, StringConstraints(strip_whitespace=True, min_length=2, max_length=80, pattern=NO_NUL)]
Definition = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=NO_NUL)]
Clause = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300, pattern=NO_NUL)]
Phrases = Annotated[list[Phrase], Field(max_length=50)]
Clauses = Annotated[list[Clause], Field(max_length=100)]
Percent = Annotated[int, Field(ge=20, le=90, description="Share of this skill for which somebody with the other would do.")]
Near = Annotated[dict[SkillCode, Percent], Field(max_length=20, examples=[{"jardinage": 50}])]


class GroupOut(BaseModel):
    code: str
    name_fr: str
    name_en: str


class NearOut(BaseModel):
    code: str
    name_fr: str
    percent: int = Field(description="How far one can stand for the other.")


class OwnWordOut(BaseModel):
    id: UUID
    phrase: str


class SkillEntry(BaseModel):
    code: str
    name_fr: str
    name_en: str
    definition: str
    group: GroupOut
    synonyms: list[str] = Field(description="The referential's.")
    own_synonyms: list[OwnWordOut] = Field(description="This territory's.")
    near: list[NearOut]
    is_local: bool = Field(description="Proposed by this territory, and known here alone.")

    @classmethod
    def of(cls, skill: ReferentialSkill, vocabulary: Vocabulary) -> "SkillEntry":
        return cls.model_validate(_entry_values(skill, vocabulary))


class SkillDetail(SkillEntry):
    asks: list[str] = Field(description="How associations say that they need it.")
    gives: list[str] = Field(description="How volunteers say that they have it.")
    titles: list[str] = Field(description="Job titles.")
    tools: list[str]
    false_friends: list[str] = Field(description="Phrases that share its words and mean something else.")
    rome: list[str] = Field(description="ROME 4.0 job codes.")
    esco: list[str] = Field(description="Ids of ESCO skills.")

    @classmethod
    def of(cls, skill: ReferentialSkill, vocabulary: Vocabulary) -> "SkillDetail":
        lists = {name: list(getattr(skill, name)) for name in _LISTS}
        return cls.model_validate(_entry_values(skill, vocabulary) | lists)


_LISTS = ("asks", "gives", "titles", "tools", "false_friends", "rome", "esco")


def _entry_values(skill: ReferentialSkill, vocabulary: Vocabulary) -> dict[str, Any]:
    known, own = vocabulary.referential, vocabulary.own_words(skill.code)
    group = known.groups[skill.parent]
    theirs = vocabulary.base.skills.get(skill.code)
    near = sorted(known.near_percents.get(skill.code, {}).items(), key=lambda one: (-one[1], one[0]))
    return {
        "code": skill.code,
        "name_fr": skill.name_fr,
        "name_en": skill.name_en,
        "definition": skill.definition,
        "group": vars(group),
        "synonyms": list(theirs.synonyms) if theirs else [],
        "own_synonyms": [{"id": word.id, "phrase": word.phrase} for word in own],
        "near": [{"code": code, "name_fr": known.skills[code].name_fr, "percent": percent} for code, percent in near
                 if code in known.skills],
        "is_local": theirs is None,
    }  # fmt: skip


class SkillsOut(BaseModel):
    version: str = Field(description="Of the referential, and after a plus how often this territory has changed its own words.")
    items: list[SkillEntry]


# ---- Suggestions --------------------------------------------------------------------------------------------------------


class TextBody(Body):
    """A text to read for skills; it is not stored."""

    title: Title
    description: Description = ""
    kind: Literal["need", "offer"] = "need"


class QuoteOut(BaseModel):
    """Words of the text that speak for a skill."""

    field: Literal["title", "description"]
    start: int = Field(description="First character, counted from 0 in that field (Unicode code points).")
    end: int = Field(description="The character after the last.")
    words: str
    match: str = Field(description="What of the skill they matched: name, synonym, title, tool, phrase, or meaning.")
    matched: str = Field(description="The skill's own words that they matched.")

    @classmethod
    def of(cls, quote: Quote) -> "QuoteOut":
        return cls.model_validate(vars(quote))


class SuggestionOut(BaseModel):
    code: str
    name_fr: str
    percent: int = Field(description="How much of the text is about it.")
    evidence: list[QuoteOut]

    @classmethod
    def of(cls, suggestion: Suggestion) -> "SuggestionOut":
        return cls.model_validate(vars(suggestion) | {"evidence": [QuoteOut.of(quote) for quote in suggestion.evidence]})


class SuggestionsOut(BaseModel):
    """To confirm one, write it among the `skills` of the need or offer, with its code and `source: suggested`."""

    referential_version: str
    suggestions: list[SuggestionOut] = Field(description="The most likely first; none of them matches until it is confirmed.")


# ---- A territory's own words ----------------------------------------------------------------------------------------------


class SynonymBody(Body):
    phrase: Phrase = Field(examples=["tenue des livres"])
    reason: Sentence = Field(description="Why; kept with who and when.")


class SynonymOut(BaseModel):
    id: UUID
    code: str
    phrase: str
    reason: str
    added_by: str
    added_at: datetime
    state: OwnState
    overruled_by: str | None = Field(description="The skill that the referential itself has come to name by these words.")
    version: int
    history: list[HistoryOut] = Field(default_factory=list, description="In lists: who added and withdrew it, when and why.")

    @classmethod
    def of(cls, word: SkillWord, vocabulary: Vocabulary) -> "SynonymOut":
        values = {name: getattr(word, name) for name in cls.model_fields if hasattr(word, name)}
        return cls.model_validate(values | {"overruled_by": vocabulary.overruled_by(word)})

    def with_history(self, rows: Iterable[Any]) -> "SynonymOut":
        return self.model_copy(update={"history": [HistoryOut.model_validate(values) for values in history_values(rows)]})


class UnknownLabelOut(BaseModel):
    label: str = Field(description="As it is written most often.")
    needs: int
    offers: int
    last_written_on: datetime
    nearest: list[str] = Field(description="Codes of skills whose words come closest, if any do.")


class UnknownLabelsOut(BaseModel):
    referential_version: str
    items: list[UnknownLabelOut] = Field(description="The most frequent first.")


# ---- A territory's own skills ---------------------------------------------------------------------------------------------


class SkillProposalBody(Body):
    name_fr: Label = Field(examples=["Apiculture"])
    name_en: Label = Field(examples=["Beekeeping"])
    definition: Definition = Field(description="What it is to do it, in a sentence; in French.")
    parent: str = Field(description="A group of the referential, e.g. environnement.", max_length=80)
    synonyms: Annotated[list[Phrase], Field(min_length=1, max_length=50)]
    near: Near = Field(default_factory=dict)
    asks: Clauses = Field(default_factory=list, description="How associations say that they need it, mostly without its name.")
    gives: Clauses = Field(default_factory=list, description="How volunteers say that they have it.")
    titles: Phrases = Field(default_factory=list, description="Job titles.")
    tools: Phrases = Field(default_factory=list)
    false_friends: Phrases = Field(default_factory=list, description="Phrases that share its words and mean something else.")
    reason: Sentence = Field(description="Why it is wanted; kept with who and when.")

    def facts(self) -> LocalSkillFacts:
        values = {name: getattr(self, name) for name in type(self).model_fields if name not in {"synonyms", "reason"}}
        return LocalSkillFacts(**_frozen(values))


class SkillProposalEdit(Body):
    name_fr: Label | None = None
    name_en: Label | None = None
    definition: Definition | None = None
    parent: str | None = Field(None, max_length=80)
    near: Near | None = None
    asks: Clauses | None = None
    gives: Clauses | None = None
    titles: Phrases | None = None
    tools: Phrases | None = None
    false_friends: Phrases | None = None
    reason: Sentence = Field(description="Why it is changed; kept with who and when.")

    def changes(self) -> dict[str, object]:
        named = {name: getattr(self, name) for name in self.model_fields_set if name != "reason"}
        return _frozen({name: value for name, value in named.items() if value is not None})


def _frozen(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(dict.fromkeys(value)) if isinstance(value, list) else value for name, value in values.items()}


class SkillProposalOut(BaseModel):
    id: UUID
    code: str = Field(description="The territory, a colon, a name: usable among the skills of needs and offers at once.")
    name_fr: str
    name_en: str
    definition: str
    parent: str
    synonyms: list[str] = Field(description="Those in force; none once it is withdrawn.")
    near: dict[str, int]
    asks: list[str]
    gives: list[str]
    titles: list[str]
    tools: list[str]
    false_friends: list[str]
    reason: str
    proposed_by: str
    proposed_at: datetime
    state: OwnState
    version: int

    @classmethod
    def of(cls, skill: LocalSkill, vocabulary: Vocabulary) -> "SkillProposalOut":
        return cls.model_validate(proposal_values(skill, vocabulary))


class SkillProposalDetail(SkillProposalOut):
    history: list[HistoryOut]


def proposal_values(skill: LocalSkill, vocabulary: Vocabulary) -> dict[str, Any]:
    values = vars(skill) | vars(skill.facts)
    del values["facts"]
    synonyms = [word.phrase for word in vocabulary.own_words(skill.code)]
    return values | {"synonyms": synonyms}
