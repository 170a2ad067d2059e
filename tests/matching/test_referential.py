"""The referential keeps its promises: its size, its codes, its words, and enough voices to learn from."""

import os
import re
import shutil
from collections import defaultdict
from pathlib import Path
from statistics import mean

import pytest

from services.matching.engine.referential import DATA, ReferentialFault, check_referential, load_referential
from services.matching.engine.skills import normalise_label

REFERENCE = Path(os.environ.get("METIS_REFERENCE_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
ROME_FILES = ("rome3_job_titles.tsv", "rome3_occupation_skills.tsv")
ESCO_FILE = "esco_skills_fr.csv"
needs_reference = pytest.mark.skipif(
    not all((REFERENCE / name).exists() for name in (*ROME_FILES, ESCO_FILE)),
    reason=f"no reference data in {REFERENCE} (METIS_REFERENCE_DATA)",
)

# Words that two skills may share, because either is meant and a person must say which.
SHARED_ON_PURPOSE: frozenset[str] = frozenset()
FEWEST_VOICES, MEAN_VOICES = 17, 20


class TestFiles:
    def test_contradict_themselves_nowhere(self) -> None:
        check_referential()

    def test_name_every_fault_with_its_file_and_skill(self, tmp_path: Path) -> None:
        folder = shutil.copytree(DATA, tmp_path / "referential", ignore=shutil.ignore_patterns("model", "communes"))
        (folder / "skills" / "99-faulty.toml").write_text(
            """
[[skill]]
code = "Faulty Code"
name = { fr = "Fautif" }
definition = "Ce qui ne va pas"
parent = "nowhere"
synonyms = ["Été", "ete"]
asks = ["On cherche"]
gives = []
titles = ["Fautif"]
near = { comptabilite = 2 }
colour = "red"
""",
            encoding="utf-8",
        )
        with pytest.raises(ReferentialFault) as found:
            check_referential(folder)
        told = str(found.value)
        assert all(line.startswith("99-faulty.toml, Faulty Code: ") for line in told.splitlines())
        for fault in ("colour", "lower-case", "`fr` and `en`", "'nowhere'", "`gives` is empty", "twice: ete", "between 0 and 1"):
            assert fault in told


class TestSkills:
    def test_are_between_150_and_250(self) -> None:
        assert 150 <= len(load_referential().skills) <= 250

    def test_name_no_word_of_another_skill(self) -> None:
        named: dict[str, set[str]] = defaultdict(set)
        for skill in load_referential().skills.values():
            for label in (skill.code, skill.name_fr, skill.name_en, *skill.synonyms):
                named[normalise_label(label)].add(skill.code)
        shared = {label: codes for label, codes in named.items() if len(codes) > 1 and label not in SHARED_ON_PURPOSE}
        assert not shared

    def test_are_spoken_of_by_enough_voices(self) -> None:
        skills = load_referential().skills.values()
        for voices in ([len(skill.asks) for skill in skills], [len(skill.gives) for skill in skills]):
            assert min(voices) >= FEWEST_VOICES
            assert mean(voices) >= MEAN_VOICES

    def test_have_no_phrase_in_two_of_them(self) -> None:
        """What two skills say alike tells neither from the other."""
        said: dict[str, set[str]] = defaultdict(set)
        for skill in load_referential().skills.values():
            for text in (*skill.asks, *skill.gives):
                said[normalise_label(text)].add(skill.code)
        assert sum(len(codes) > 1 for codes in said.values()) <= 20

    @needs_reference
    def test_bear_rome_codes_that_exist(self) -> None:
        known = {
            code for name in ROME_FILES for code in re.findall(r"\b[A-N]\d{4}\b", (REFERENCE / name).read_text(encoding="utf-8"))
        }
        assert not [
            (skill.code, code) for skill in load_referential().skills.values() for code in skill.rome if code not in known
        ]

    @needs_reference
    def test_bear_esco_ids_that_exist(self) -> None:
        known = set(re.findall(r"esco/skill/([0-9a-f-]{36})", (REFERENCE / ESCO_FILE).read_text(encoding="utf-8")))
        assert not [
            (skill.code, uuid) for skill in load_referential().skills.values() for uuid in skill.esco if uuid not in known
        ]
