"""Every French commune is known offline, and close to where official data have it."""

import csv
import os
from pathlib import Path
from statistics import median

import pytest

from services.matching.domain.shared import Commune
from services.matching.engine.communes import KnownCommunes, UnclearCommune, load_communes, resolve_commune
from services.matching.engine.places import measure_distance_km

HERE = Path(__file__).resolve().parents[2]
REFERENCE = Path(os.environ.get("METIS_REFERENCE_DATA", HERE.parent / "shared" / "data")) / "communes.tsv"


class TestLoadCommunes:
    def test_arrondissements_and_overseas_are_there(self) -> None:
        communes = load_communes()
        assert communes["92071"].name == "Sceaux"
        assert all(f"751{number:02}" in communes for number in range(1, 21))
        assert all(f"6938{number}" in communes for number in range(1, 10))
        assert all(f"132{number:02}" in communes for number in range(1, 17))
        assert {"97105", "97209", "97302", "97411", "97608", "97502", "97701", "97801", "98613", "98735", "98818"} <= set(
            communes
        )

    @pytest.mark.parametrize(
        ("code", "around"),
        [("97411", (-20.9, 55.5)), ("98818", (-22.27, 166.45)), ("98735", (-17.53, -149.57)), ("97502", (46.78, -56.18)),
         ("2A004", (41.93, 8.74)), ("75056", (48.856, 2.342))],
    )  # fmt: skip
    def test_lie_where_they_lie(self, code: str, around: tuple[float, float]) -> None:
        assert measure_distance_km(load_communes()[code], Commune("", *around)) < 8

    @pytest.mark.skipif(not REFERENCE.exists(), reason="no reference communes (METIS_REFERENCE_DATA)")
    def test_agree_with_the_official_centres(self) -> None:
        communes = load_communes()
        with REFERENCE.open(encoding="utf-8") as file:
            official = {row["insee"]: row for row in csv.DictReader(file, delimiter="\t") if row["lat"]}
        found = official.keys() & communes.keys()
        errors = sorted(
            measure_distance_km(communes[code], Commune("", float(official[code]["lat"]), float(official[code]["lng"])))
            for code in found
        )
        assert len(found) / len(official) > 0.9995
        assert median(errors) < 0.3
        assert errors[int(0.99 * len(errors))] < 1.5
        assert errors[-1] < 15  # an island off Granville, and the forests of Guyane


class TestKnownCommunes:
    def test_what_was_recorded_goes_before_france_and_spares_reading_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ours = Commune("Sceaux-en-Essai", 48.7, 2.2)
        known = KnownCommunes({"92071": ours})
        with monkeypatch.context() as patched:
            patched.setattr("services.matching.engine.communes.load_communes", lambda: pytest.fail("read"))
            assert "92071" in known
            assert known.get("92071") is ours
        assert known["92014"].name == "Bourg-la-Reine"
        assert known.get("92999") is None
        assert len(known) == len(set(known)) == len(load_communes())


class TestResolveCommune:
    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("92071", "92071"),
            ("2a004", "2A004"),
            ("Sceaux", "92071"),
            ("Sceaux (92)", "92071"),
            ("92330 Sceaux", "92071"),
            ("Bourg-la-Reine", "92014"),
            ("bourg la reine", "92014"),
            ("Châtenay-Malabry", "92019"),
            ("chatenay malabry", "92019"),
            ("St-Ouen-sur-Seine", "93070"),
            ("Paris", "75056"),
            ("Paris 14e", "75114"),
            ("Lyon 1er", "69381"),
            ("paris 5ème arrondissement", "75105"),
            ("75014 Paris", "75114"),
            ("13008 Marseille", "13208"),
            ("Saint-Denis (974)", "97411"),
            ("L'Haÿ-les-Roses", "94038"),
        ],
    )
    def test_finds_what_a_person_means(self, text: str, code: str) -> None:
        assert resolve_commune(text) == code

    def test_refuses_several_of_a_name_with_the_choices(self) -> None:
        with pytest.raises(UnclearCommune, match=r"Saint-Denis \(93\), code 93066.*Saint-Denis \(974\), code 97411"):
            resolve_commune("Saint-Denis")

    def test_of_several_takes_the_one_around(self) -> None:
        assert resolve_commune("Saint-Denis", around=["92", "93"]) == "93066"
        with pytest.raises(UnclearCommune):
            resolve_commune("Saint-Denis", around=["93", "974"])

    def test_refuses_an_unknown_name_with_what_is_like_it(self) -> None:
        with pytest.raises(UnclearCommune, match=r"aucune commune connue.*Bourg-la-Reine \(92\), code 92014"):
            resolve_commune("Bourg-la-Renne")

    @pytest.mark.parametrize("text", ["", "   ", "(92)", "00000"])
    def test_refuses_what_names_none(self, text: str) -> None:
        with pytest.raises(UnclearCommune):
            resolve_commune(text)
