"""From sheets to rows: what is named, rejected and refused; and the example files, which must all go in."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator

from cli.console import CliError
from cli.importer.checking import Checked, check, read_folder
from cli.importer.layouts import make_layouts
from cli.importer.reading import read_sheet

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"
SOME_ID = str(UUID(int=7))


def check_text(folder: Path, content: str, *, name: str = "acteurs.csv") -> Checked:
    path = folder / name
    path.write_text(content)
    return check(next(layout for layout in make_layouts() if layout.stem == path.stem), read_sheet(path))


class TestCheck:
    def test_names_unknown_columns_and_reads_the_rest(self, tmp_path: Path) -> None:
        checked = check_text(tmp_path, "ref,type,nom,commune,couleur\na,association,A,92071,bleu\n")
        assert checked.unknown_columns == ["couleur"]
        assert [row.values["type"] for row in checked.rows] == ["association"]

    def test_refuses_a_file_without_a_required_column(self, tmp_path: Path) -> None:
        with pytest.raises(CliError, match="« commune »") as refusal:
            check_text(tmp_path, "ref,type,nom\na,association,A\n")
        assert "domaines" in refusal.value.cure

    def test_rejects_a_row_by_column_value_and_cure(self, tmp_path: Path) -> None:
        checked = check_text(tmp_path, "ref,type,nom,commune\na,amicale,A,92071\nb,association,,92071\n")
        assert [(reject.line, reject.column, reject.value, bool(reject.cure)) for reject in checked.rejects] == [
            (2, "type", "amicale", True),
            (3, "nom", "", True),
        ]

    def test_rejects_the_second_of_a_double(self, tmp_path: Path) -> None:
        checked = check_text(tmp_path, "ref,type,nom,commune\na,association,A,92071\na,association,B,92071\n")
        assert [(reject.line, reject.problem) for reject in checked.rejects] == [(3, "déjà présent à la ligne 2")]
        assert len(checked.rows) == 1


class TestActors:
    HEAD = "ref,type,nom,commune,siren,siret,rna,courriel,site,siren_a_verifier\n"

    @pytest.mark.parametrize(
        ("cells", "column"),
        [
            ("123456789,,,,,", "siren"),
            (",12345678900012,,,,", "siret"),
            (",,92000123,,,", "rna"),
            (",,,nom à exemple.test,,", "courriel"),
            (",,,,www.exemple.test,", "site"),
        ],
    )
    def test_a_faulty_identifier_or_address_is_seen_before_anything_is_sent(
        self, tmp_path: Path, cells: str, column: str
    ) -> None:
        (reject,) = check_text(tmp_path, f"{self.HEAD}a,association,A,92071,{cells}\n").rejects
        assert (reject.line, reject.column, bool(reject.cure)) == (2, column, True)

    def test_what_cannot_be_verified_may_be_kept_as_such(self, tmp_path: Path) -> None:
        checked = check_text(tmp_path, f"{self.HEAD}a,association,A,92071,,,W922000123,,,123456789\n")
        (row,) = checked.rows
        path, body = checked.layout.request(row.values)
        assert (path, body["rna"], body["unverified_identifiers"]) == (
            "/actors/refs/a", "W922000123", {"siren": "123456789"},
        )  # fmt: skip
        assert checked.layout.column_of("/unverified_identifiers/siren") == "siren_a_verifier"


class TestCampaign:
    @pytest.mark.parametrize(("cell", "required"), [("oui", True), ("non", False)])
    def test_may_ask_for_conventions(self, tmp_path: Path, cell: str, required: bool) -> None:
        head = "ref,titre,debut,fin,operateur,taux_compensation,valeur_heure_euros,conventions_obligatoires"
        checked = check_text(tmp_path, f"{head}\nc,Crédit,2026-02-02,2026-11-27,koeo,0.6,45,{cell}\n", name="campagne.csv")
        (row,) = checked.rows
        assert row.values["conventions_obligatoires"] is required


class TestTermsOfWork:
    HEAD = "ref,membre,titre,competences,heures,debut,fin,commune,cadre"
    ROW = "o,odile,Comptes,tableur:2,10,2026-02-02,2026-11-27,92071,personnel"

    def request(self, folder: Path, columns: str, cells: str) -> dict[str, Any]:
        (row,) = check_text(folder, f"{self.HEAD},{columns}\n{self.ROW},{cells}\n", name="offres.csv").rows
        layout = next(layout for layout in make_layouts() if layout.stem == "offres")
        return layout.request(row.values)[1]

    def test_are_read_as_the_api_has_them(self, tmp_path: Path) -> None:
        columns = "langues,semaine,latitude,longitude,associations_exclues,honorabilite_le,charte_signee"
        body = self.request(tmp_path, columns, "fr;AR,lundi matin;Samedi après-midi,48.776,2.296,asso-a;asso-b,05/01/2026,oui")
        assert body["languages"] == ["fr", "ar"]
        assert body["week"] == ["monday_morning", "saturday_afternoon"]
        assert body["point"] == {"latitude": 48.776, "longitude": 2.296}
        assert body["excluded_associations"] == ["asso-a", "asso-b"]
        assert (body["honorability_checked_on"], body["charter_signed"]) == ("2026-01-05", True)

    def test_left_out_are_left_to_the_api(self, tmp_path: Path) -> None:
        body = self.request(tmp_path, "langues", "")
        assert {body[name] for name in ("languages", "point", "charter_signed", "honorability_checked_on")} == {None}

    def test_a_part_of_the_week_that_there_is_not_is_rejected_with_the_words_there_are(self, tmp_path: Path) -> None:
        content = f"{self.HEAD},semaine\n{self.ROW},lundi midi\n"
        (reject,) = check_text(tmp_path, content, name="offres.csv").rejects
        assert (reject.column, "lundi_matin" in reject.cure) == ("semaine", True)


class TestReadFolder:
    def test_says_what_it_would_have_known(self, tmp_path: Path) -> None:
        with pytest.raises(CliError) as refusal:
            read_folder(tmp_path, make_layouts())
        assert "besoins.csv" in refusal.value.cure

    def test_reads_files_in_the_order_of_their_references(self) -> None:
        folder = read_folder(EXAMPLES / "sceaux", make_layouts())
        stems = [file.layout.stem for file in folder.files]
        assert stems == ["communes", "acteurs", "membres", "campagne", "subventions", "promesses", "besoins", "offres"]
        assert folder.ignored == ["competences.csv"]

    def test_finds_the_faults_of_the_broken_example_without_a_platform(self) -> None:
        file = read_folder(EXAMPLES / "broken", make_layouts()).files[0]
        assert file.unknown_columns == ["annee_creation"]
        assert {reject.line: reject.column for reject in file.rejects} == {
            3: "siren", 4: "type", 5: "commune", 6: "ref", 7: "nom",
        }  # fmt: skip
        assert [row.line.number for row in file.rows] == [2, 8, 9]


def example_requests() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every row of the examples as the request that is sent, ids in place of references."""
    for town in ("sceaux", "bourg-la-reine"):
        for file in read_folder(EXAMPLES / town, make_layouts(shift_days=3)).files:
            assert not file.rejects, file.rejects
            assert not file.unknown_columns
            for row in file.rows:
                references = {
                    column.name: SOME_ID for column in file.layout.columns if column.reference and row.values[column.name]
                }
                path, body = file.layout.request({**row.values, **references})
                yield file.layout.stem, path, {name: value for name, value in body.items() if value is not None}


class TestLayouts:
    def test_every_row_of_the_examples_is_a_request_of_the_public_api(self) -> None:
        document = json.loads((ROOT / "gateway" / "openapi.json").read_text())
        prefix = "/v1/territories/{territory}"
        operations = {
            "communes": "/communes/{insee}",
            "acteurs": "/actors/refs/{ref}",
            "membres": "/members/refs/{ref}",
            "campagne": "/campaigns/refs/{ref}",
            "subventions": "/campaigns/{id}/panel/{association_id}",
            "promesses": "/campaigns/{id}/pledges/refs/{ref}",
            "besoins": "/needs/refs/{ref}",
            "offres": "/offers/refs/{ref}",
        }
        validators = {}
        for stem, path in operations.items():
            schema = document["paths"][prefix + path]["put"]["requestBody"]["content"]["application/json"]["schema"]
            validators[stem] = Draft202012Validator({**schema, "components": document["components"]})
        seen = set()
        for stem, path, body in example_requests():
            errors = [error.message for error in validators[stem].iter_errors(body)]
            assert not errors, (path, errors)
            assert "None" not in path
            seen.add(stem)
        assert seen == set(operations)
