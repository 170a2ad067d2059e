"""The words of a statement's line, of which paper and screen make the same use."""

from services.credits.domain.statement_words import Link, describe_links, person_text, subject_text

GRANT, FIRST, LAST = (f"01900000-0000-7000-8000-0000{end}" for end in ("aaaa1111", "bbbb2222", "cccc3333"))


class TestDescribeLinks:
    def test_names_every_reversal_of_the_statement(self) -> None:
        grant = Link(GRANT, 600, None, LAST, 600)
        said = describe_links([grant, Link(FIRST, 90, GRANT, None, 0), Link(LAST, 510, GRANT, None, 0)], is_present=True)
        assert said[GRANT] == ["annulée par n°\u00a0bbbb2222, n°\u00a0cccc3333"]
        assert said[FIRST] == ["annule n°\u00a0aaaa1111"]

    def test_an_old_statement_counts_what_it_shows(self) -> None:
        """What the second reversal undid was not undone then."""
        said = describe_links([Link(GRANT, 600, None, LAST, 600), Link(FIRST, 90, GRANT, None, 0)], is_present=False)
        assert said[GRANT] == ["annulée en partie par n°\u00a0bbbb2222"]

    def test_what_was_undone_after_the_period_is_said_today_alone(self) -> None:
        for undone, words in ((600, "annulée"), (90, "annulée en partie")):
            grant = Link(GRANT, 600, None, LAST, undone)
            assert describe_links([grant], is_present=True) == {GRANT: [f"{words} depuis par n°\u00a0cccc3333"]}
            assert describe_links([grant], is_present=False) == {GRANT: []}


class TestWhoAndWhat:
    def test_whoever_serves_comes_before_whoever_wrote(self) -> None:
        names = {"v": "Jeanne", "k": "Atelier Vert"}
        assert person_text(volunteer="v", who="k", names=names) == "Jeanne"
        assert [person_text(volunteer=None, who=who, names=names) for who in ("k", "system", "92071.caisse")] == [
            "par Atelier Vert", "par Métis", "par 92071.caisse",
        ]  # fmt: skip

    def test_a_line_without_a_mission_is_about_a_holder(self) -> None:
        names = {"a": "Lire ensemble"}
        assert subject_text(mission="Tenir la caisse", accounts=("credit/c/a",), names=names) == "Tenir la caisse"
        assert subject_text(mission=None, accounts=("pool/c", "credit/c/a"), names=names) == "Lire ensemble"
        assert subject_text(mission=None, accounts=("promised/c/k", "pool/c"), names=names) == "k"
        assert subject_text(mission=None, accounts=(), names=names) == ""
