"""What a territory has added, as a file of the referential: for review, and for the next release."""

import json
from collections.abc import Iterable, Iterator
from itertools import groupby

from services.matching.domain.vocabulary import LocalSkill, SkillWord, WordKind
from services.matching.engine.vocabulary import Vocabulary

_LISTS = ("asks", "gives", "titles", "tools", "false_friends")
# Without these the referential's loader refuses a skill.
_NEEDED = ("asks", "gives", "titles")


def export_toml(vocabulary: Vocabulary, *, territory: str) -> str:
    """Proposed skills as `[[skill]]`, without the territory in their codes; synonyms for known skills as `[[synonyms]]`, which
    the loader passes over. Who proposed stays in the territory; why is told."""
    lines = [f"# Ce que le territoire {territory} propose au référentiel des compétences (version {vocabulary.version})."]
    for local in vocabulary.local_skills:
        lines += ["", *_skill_lines(local, vocabulary, territory=territory)]
    words = (word for word in vocabulary.words if word.kind is WordKind.SYNONYM and word.code in vocabulary.base.skills)
    for code, added in groupby(sorted(words, key=lambda word: (word.code, word.normalised)), key=lambda word: word.code):
        lines += ["", *_synonym_lines(code, added)]
    return "\n".join(lines) + "\n"


def _skill_lines(local: LocalSkill, vocabulary: Vocabulary, *, territory: str) -> Iterator[str]:
    facts = local.facts
    yield f"# Proposé le {local.proposed_at:%Y-%m-%d} : {_one_line(local.reason)}"
    if missing := [name for name in _NEEDED if not getattr(facts, name)]:
        yield f"# À compléter avant d'entrer au référentiel : {', '.join(missing)}."
    yield "[[skill]]"
    yield f"code = {_text(local.code.removeprefix(f'{territory}:'))}"
    yield f"name = {{ fr = {_text(facts.name_fr)}, en = {_text(facts.name_en)} }}"
    yield f"definition = {_text(facts.definition)}"
    yield f"parent = {_text(facts.parent)}"
    yield f"synonyms = {_list([word.phrase for word in vocabulary.own_words(local.code)])}"
    for name in _LISTS:
        if values := getattr(facts, name):
            yield f"{name} = {_list(values)}"
    if facts.near:
        near = (
            f"{_text(code.removeprefix(f'{territory}:'))} = {percent / 100:g}" for code, percent in sorted(facts.near.items())
        )
        yield f"near = {{ {', '.join(near)} }}"


def _synonym_lines(code: str, added: Iterable[SkillWord]) -> Iterator[str]:
    words = list(added)
    for word in words:
        yield f"# {_one_line(word.phrase)}, le {word.added_at:%Y-%m-%d} : {_one_line(word.reason)}"
    yield "[[synonyms]]"
    yield f"code = {_text(code)}"
    yield f"add = {_list([word.phrase for word in words])}"


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _text(text: str) -> str:
    """A basic string of TOML: JSON's, which escapes all but the last of the control characters."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _list(texts: Iterable[str]) -> str:
    return "[" + ", ".join(_text(text) for text in texts) + "]"
