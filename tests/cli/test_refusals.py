"""What the platform refuses, in the officer's words."""

import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import pytest
from pydantic import BaseModel, Field, ValidationError

from cli.api import ApiError
from cli.http import Response
from cli.importer.layouts import make_layouts
from cli.importer.refusals import RULES, Refusal, explain
from services.credits.domain import errors as credits
from services.matching.domain import refusals as matching
from services.registry.domain.records import IdentifierTaken

ROOT = Path(__file__).parent.parent.parent
PYDANTIC = ("should", "greater", "less", "Field", "Input", "not a valid")
LAYOUTS = {layout.stem: layout for layout in make_layouts()}


def refused(stem: str, code: str, detail: str, pointer: str = "") -> Refusal:
    problem: dict[str, Any] = {"type": f"https://metis.example/problems/{code}", "detail": detail}
    if pointer:
        problem["errors"] = [{"pointer": pointer, "detail": detail}]
    return explain(LAYOUTS[stem], ApiError(Response(422, {}, orjson.dumps(problem)), doing="PUT"))


class TestRules:
    def test_know_words_that_a_service_says(self) -> None:
        folders = ("kernel", "services/registry", "services/credits", "services/matching")
        source = " ".join(path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py"))
        for rule in RULES:
            assert f'"{rule.code}"' in source, rule.code
        ours = [
            rule
            for rule in RULES
            if rule.words and not rule.words.startswith(("should", "greater", "less", "Field", "Input", "not a valid"))
        ]
        assert len(ours) > 15
        for rule in ours:
            plain = [part for part in _plain_parts(rule.words) if part.strip()]
            assert all(part in source for part in plain), rule.words


def _plain_parts(pattern: str) -> list[str]:
    """What stands in the pattern as it stands in the text: without its groups and anchors."""
    return re.split(r"\(\?P<\w+>(?:\[[^]]*\]|\\?.)[+*]?\)|\(\?:[^)]*\)|\\[()]|\^", pattern)


class TestExplain:
    @pytest.mark.parametrize(
        ("stem", "code", "detail", "pointer", "column", "said"),
        [
            ("membres", "bad-input", "a person with the role association or company acts for an actor; name it.", "/actor_id", "acteur", "donnez sa référence"),
            ("besoins", "bad-input", "must not be before starts_on (2026-03-01)", "/ends_on", "fin", "la fin précède le début"),
            ("campagne", "bad-input", "must not lie before starts_on (2026-03-01)", "/ends_on", "fin", "la fin précède le début"),
            ("offres", "bad-input", "give the commune's INSEE code, or set remote to true", "/commune", "commune", "a_distance"),
            ("acteurs", "identifier-taken", "552100554 belongs to Club (des) Amis (key amis).", "/siren", "siren", "« Club (des) Amis » (référence amis)"),
            ("subventions", "actor-unfit", "X is recorded as company and cannot be an association of the panel; name", "", "association", "enregistré comme « entreprise »"),
            ("promesses", "pledge-committed", "Of the 600 minutes still promised, 450 are set aside for missions; take back 150 at most, or", "", "heures", "de 2,5 h au plus"),
            ("offres", "not-known-yet", "The volunteer is not an active member that the registry told about; record them first", "", "membre", "relancez l'import"),
            ("campagne", "campaign-not-draft", "Campaign c is open; its rules are fixed.", "", "ref", "ses règles ne changent plus"),
            ("besoins", "wrong-state", "It is fulfilled; only a draft, qualified or open need can be changed.", "", "ref", "il est satisfait"),
            ("membres", "forbidden", "Only an officer gives or takes the role officer.", "", "roles", "laissez cette ligne à un agent"),
            ("promesses", "forbidden", "You can only promise your own hours, or those of the company you represent.", "", "contributeur", "pas les vôtres"),
            ("besoins", "forbidden", "You can only act for your own organisation; sign in as one of its members.", "", "association", "de votre organisation"),
            ("subventions", "bad-input", "Input should be less than or equal to 100000000000", "/subsidy_before_cents", "avant_euros", "au plus 1000000000 €"),
            ("campagne", "bad-input", "Input should be greater than or equal to 15", "/step_minutes", "pas_minutes", "au moins 15"),
            ("besoins", "bad-input", "Input should be less than or equal to 60000", "/minutes", "heures", "au plus 1000 h"),
        ],
    )  # fmt: skip
    def test_says_it_in_french_at_the_column(
        self, stem: str, code: str, detail: str, pointer: str, column: str, said: str
    ) -> None:
        found = refused(stem, code, detail, pointer)
        assert found.column == column
        assert said in f"{found.problem} ; {found.cure}"
        assert detail not in found.cure

    def test_passes_on_what_it_does_not_know(self) -> None:
        assert refused("acteurs", "bad-input", "something new", "/siren") == Refusal(
            "siren", "refusé par la plateforme (bad-input)", "something new"
        )

    def test_every_fault_of_a_field_s_type_is_in_french(self) -> None:
        class Body(BaseModel):
            long: Annotated[str, Field(max_length=2)]
            short: Annotated[str, Field(min_length=2)]
            many: Annotated[list[int], Field(max_length=1)]
            few: Annotated[list[int], Field(min_length=1)]
            low: Annotated[int, Field(ge=1)]
            lower: Annotated[int, Field(gt=0)]
            high: Annotated[int, Field(le=1)]
            higher: Annotated[float, Field(lt=1)]
            shape: Annotated[str, Field(pattern="^a$")]
            word: Literal["a", "b"]
            number: int
            day: date
            missing: str

        wrong = {
            "long": "abc", "short": "a", "many": [1, 2], "few": [], "low": 0, "lower": 0, "high": 2, "higher": 1, "shape": "b",
            "word": "c", "number": "x", "day": "x",
        }  # fmt: skip
        with pytest.raises(ValidationError) as raised:
            Body.model_validate(wrong)
        assert len(raised.value.errors()) == len(Body.model_fields)
        for fault in raised.value.errors():
            found = refused("acteurs", "bad-input", fault["msg"], "/description")
            assert fault["msg"] not in found.cure, fault["msg"]

    def test_has_every_refusal_of_a_row_that_the_services_name(self) -> None:
        classes = [
            credits.ActorUnfit, credits.PledgeOfAnother, credits.PledgeCommitted, credits.CampaignNotDraft, credits.CampaignOver,
            credits.NotEnoughCredit, matching.WrongState, matching.CampaignNotOpen, matching.NeedIsBusy, matching.OfferIsPromised,
            matching.Unknown, IdentifierTaken,
        ]  # fmt: skip
        assert {kind.code for kind in classes} <= {rule.code for rule in RULES}
