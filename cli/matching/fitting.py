"""`metis match eval`: the whole pipeline on labelled needs and offers, its tags confirmed as they come, measured."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import typer
from rich.table import Table

from cli.console import CliError, console, errors, print_error
from cli.matching.labelled import LabelledSet, UnusableFile, read_labelled
from cli.wording import counted
from services.matching.domain.needs import Need
from services.matching.domain.offers import Candidate
from services.matching.domain.shared import Skill
from services.matching.engine.communes import load_communes
from services.matching.engine.fit import assess
from services.matching.engine.gates import ObstacleKind
from services.matching.engine.referential import Referential, load_referential
from services.matching.engine.surroundings import Surroundings
from services.matching.engine.tagging.grading import Grades, Grading, grade_rankings, sum_up
from services.matching.engine.tagging.model import StaleModel
from services.matching.engine.tagging.profile import Profiler, Reading
from services.matching.engine.tagging.suggestion import make_profiler, tag_reading
from services.matching.engine.tagging.text_fit import measure_nearness, measure_text_fit

UNUSABLE = 2
# That nothing is shared is the ranking's business; a pass or a block is about when, where, how and how long.
_NOT_A_GATE_HERE = frozenset({ObstacleKind.SKILLS})


@dataclass(frozen=True)
class Evaluation:
    figures: dict[str, Any]
    gradings: tuple[Grading, ...]
    not_blocked: tuple[str, ...]
    not_passed: tuple[str, ...]


def run(file: Path, *, as_json: bool, sentences: bool, worst: int) -> None:
    try:
        labelled = read_labelled(file)
    except UnusableFile as unusable:
        print_error(unusable)
        raise typer.Exit(UNUSABLE) from None
    try:
        profiler = make_profiler(load_referential(), sentences=sentences, thorough=True)
    except StaleModel as stale:
        raise CliError("Le modèle des compétences n'est pas celui du référentiel.", cure=str(stale)) from stale
    if sentences and not profiler.meanings and not as_json:
        errors.print("Sans modèle de phrases : l'extra « sentences » n'est pas installé.", style="dim")
    evaluation = evaluate(labelled, profiler)
    if as_json:
        typer.echo(json.dumps(evaluation.figures, ensure_ascii=False))
        return
    _print(labelled, evaluation, worst=worst)


def evaluate(labelled: LabelledSet, profiler: Profiler) -> Evaluation:
    started = time.perf_counter()
    needs = profiler.read_all([(need.facts.title, need.facts.description) for need in labelled.needs])
    offers = profiler.read_all([(one.offer.facts.title, one.offer.facts.description) for one in labelled.candidates])
    scores = measure_text_fit(needs, offers, measure_nearness(profiler.referential, profiler.codes))
    gradings = grade_rankings(scores, _grades(labelled))
    confirmed = _confirm_tags(labelled, profiler, needs, offers)
    not_blocked, not_passed = _try_gates(confirmed, profiler.referential)
    figures = {
        **sum_up(gradings),
        "gates_blocked": len(labelled.gates) - len(not_blocked),
        "gates": len(labelled.gates),
        "passes_passed": len(labelled.passes) - len(not_passed),
        "passes": len(labelled.passes),
        "needs": len(labelled.needs),
        "offers": len(labelled.candidates),
        "sentence_model": "+".join(meaning.model_name for meaning, _ in profiler.meanings) or None,
        "seconds": round(time.perf_counter() - started, 2),
    }
    return Evaluation(figures, tuple(gradings), tuple(not_blocked), tuple(not_passed))


def _grades(labelled: LabelledSet) -> Grades:
    grades = np.zeros((len(labelled.needs), len(labelled.candidates)), dtype=np.int8)
    for judgment in labelled.judgments:
        grades[judgment.need, judgment.offer] = judgment.grade
    return grades


def _confirm_tags(labelled: LabelledSet, profiler: Profiler, needs: Sequence[Reading], offers: Sequence[Reading]) -> LabelledSet:
    """Every need and offer with the tags suggested for it as its skills."""

    def skills(reading: Reading) -> tuple[Skill, ...]:
        return tuple(Skill(tag.label, 2, tag.code) for tag in tag_reading(profiler, reading, with_evidence=False))

    def tagged(candidate: Candidate, reading: Reading) -> Candidate:
        facts = replace(candidate.offer.facts, skills=skills(reading))
        return replace(candidate, offer=replace(candidate.offer, facts=facts))

    return replace(
        labelled,
        needs=tuple(
            replace(need, facts=replace(need.facts, skills=skills(reading)))
            for need, reading in zip(labelled.needs, needs, strict=True)
        ),
        candidates=tuple(tagged(one, reading) for one, reading in zip(labelled.candidates, offers, strict=True)),
    )


def _try_gates(labelled: LabelledSet, referential: Referential) -> tuple[list[str], list[str]]:
    """What the engine's own gates say of the pairs of `gates` and `passes`: a sentence for each that came out otherwise."""
    surroundings = Surroundings(today=labelled.first_day, communes=load_communes(), referential=referential)

    def obstacles(need: Need, candidate: Candidate) -> list[ObstacleKind]:
        return [kind for kind in assess(need, candidate, surroundings).obstacles if kind not in _NOT_A_GATE_HERE]

    not_blocked, not_passed = [], []
    for gate in labelled.gates:
        need, candidate = labelled.needs[gate.need], labelled.candidates[gate.offer]
        if gate.reason not in (found := obstacles(need, candidate)):
            not_blocked.append(f"{need.ref} – {candidate.offer.ref} : {gate.reason} attendu, {_write(found)}")
    for place, offer in labelled.passes:
        need, candidate = labelled.needs[place], labelled.candidates[offer]
        if found := obstacles(need, candidate):
            not_passed.append(f"{need.ref} – {candidate.offer.ref} : bloqué, {_write(found)}")
    return not_blocked, not_passed


def _write(obstacles: Sequence[ObstacleKind]) -> str:
    return ", ".join(obstacles) or "rien ne bloque"


def _print(labelled: LabelledSet, evaluation: Evaluation, *, worst: int) -> None:
    figures = evaluation.figures
    table = Table("mesure", "valeur", box=None)
    for name in ("ndcg@10", "recall@5", "hit@1", "hit@3"):
        table.add_row(name, f"{figures[name]:.3f}".replace(".", ","))
    table.add_row("verrous respectés", f"{figures['gates_blocked']} sur {figures['gates']}")
    table.add_row("passages ouverts", f"{figures['passes_passed']} sur {figures['passes']}")
    console.print(
        ", ".join(
            (
                counted(figures["needs"], "besoin"),
                counted(figures["offers"], "offre"),
                counted(len(labelled.judgments), "jugement"),
            )
        )
    )
    console.print(table)
    model = figures["sentence_model"] or "aucun (mots et lettres seulement)"
    console.print(f"Modèle de phrases : {model} ; {figures['seconds']} s".replace(".", ","), style="dim")
    for line in (*evaluation.not_blocked, *evaluation.not_passed):
        console.print(f"  {line}", markup=False)
    graded = [(one.ndcg, need) for one, need in zip(evaluation.gradings, labelled.needs, strict=True) if one.ndcg is not None]
    if worst:
        console.print("Besoins les moins bien servis :")
    for ndcg, need in sorted(graded, key=lambda pair: pair[0])[:worst]:
        console.print(f"  {ndcg:.2f}  {need.ref}  {need.facts.title}".replace(".", ",", 1), markup=False)
