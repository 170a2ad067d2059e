import pytest

from services.matching.engine.text.gender import are_counterparts, in_one_gender, masculine_word, without_inclusive_marks


class TestInOneGender:
    @pytest.mark.parametrize(
        ("both", "one"),
        [
            ("Accueillant familial / Accueillante familiale auprès d'enfants", "Accueillant familial auprès d'enfants"),
            ("Responsable chargé / chargée de la sécurité", "Responsable chargé de la sécurité"),
            ("agent d'accueil/agente d'accueil", "agent d'accueil"),
            ("Malaxeur/mélangeur / Malaxeuse/mélangeuse", "Malaxeur/mélangeur"),
            ("Agent / Agente d'entretien/propreté d'immeubles", "Agent d'entretien/propreté d'immeubles"),
            ("Infirmière / Infirmier", "Infirmier"),
            ("chef cuisinier/cheffe cuisinière", "chef cuisinier"),
            ("Ambassadeur / Ambassadrice du tri", "Ambassadeur du tri"),
            ("Commis / Commise de cuisine", "Commis de cuisine"),
            ("comptable public/comptable publique", "comptable public"),
            ("Designer / Designeuse automobile", "Designer automobile"),
            ("Cameraman / Camerawoman", "Cameraman"),
        ],
    )
    def test_keeps_the_masculine_and_what_follows(self, both: str, one: str) -> None:
        assert in_one_gender(both) == one

    @pytest.mark.parametrize("text", ["papier/carton", "Chef de quai réception/expédition", "sans slash", "", "/", " / ", "a/"])
    def test_leaves_other_slashes(self, text: str) -> None:
        assert in_one_gender(text) == text


class TestWithoutInclusiveMarks:
    @pytest.mark.parametrize(
        ("marked", "plain"),
        [
            ("chargé·e de projet", "chargé de projet"),
            ("animateur•rice", "animateur"),
            ("développeur.euse web", "développeur web"),
            ("conseiller(ère) en insertion", "conseiller en insertion"),
            ("technicien(ne)", "technicien"),
            ("agent-e-s d'accueil", "agent d'accueil"),
            ("danseur/se", "danseur"),
            ("vendeur (H/F)", "vendeur"),
            ("vendeur F/H", "vendeur"),
            ("soudeur - h/f", "soudeur"),
        ],
    )
    def test_takes_them_off(self, marked: str, plain: str) -> None:
        assert without_inclusive_marks(marked) == plain

    @pytest.mark.parametrize(
        "text", ["rendez-vous", "sage-femme", "donnez-les", "et/ou", "traitement (para)médical", "U.R.S.S.", "c'est-à-dire"]
    )
    def test_leaves_what_is_none(self, text: str) -> None:
        assert without_inclusive_marks(text) == text


class TestAreCounterparts:
    @pytest.mark.parametrize(
        ("one", "other"),
        [("Agent", "Agente"), ("acteur", "actrice"), ("monteur-vendeur", "monteuse-vendeuse"), ("hôte", "hôtesse")],
    )
    def test_knows_pairs_either_way(self, one: str, other: str) -> None:
        assert are_counterparts(one, other)
        assert are_counterparts(other, one)

    def test_knows_strangers(self) -> None:
        assert not are_counterparts("papier", "carton")


class TestMasculineWord:
    def test_is_the_same_for_both(self) -> None:
        for feminine, masculine in [("vendeuse", "vendeur"), ("dangereuse", "dangereux"), ("creative", "creatif")]:
            assert masculine_word(feminine) == masculine_word(masculine)
