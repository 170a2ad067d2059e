"""From texts to fits: each method alone and all together, on the two labelled sets of tests/matching/evaluation/.

`development` was looked at and tuned on; `held_out` is only reported. `left out` needs neither: one in six of the
referential's own phrases is kept from the training, two or three of a skill and a voice are joined to a text, and the right
skill is looked for among all.
"""

import argparse
import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.report import print_report
from cli.matching.labelled import LabelledSet, read_labelled
from services.matching.engine.referential import Referential, load_referential
from services.matching.engine.tagging.grading import Grades, grade_rankings, sum_up
from services.matching.engine.tagging.model import read_model, train
from services.matching.engine.tagging.profile import Profiler, Reading
from services.matching.engine.tagging.suggestion import make_profiler, tag_reading
from services.matching.engine.tagging.text_fit import measure_nearness, measure_text_fit
from services.matching.engine.text.encoder import SentenceModel, find_sentence_models
from services.matching.engine.text.lexical import LexicalIndex, Scores

FOLDER = Path(__file__).parents[2] / "tests" / "matching" / "evaluation"
SETS = ("development", "held_out")
MEASURES = ("ndcg@10", "recall@5", "hit@1", "hit@3")
LEFT_OUT = 6  # one in so many

Texts = list[tuple[str, str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-sentences", action="store_true", help="without the sentence models")
    parser.add_argument("--left-out", action="store_true", help="also learn without a sixth of the phrases, and ask for them")
    parser.add_argument("--set", dest="sets", action="append", choices=SETS, help="only this set; may be repeated")


def run(arguments: argparse.Namespace) -> dict[str, object]:
    models = () if arguments.no_sentences else find_sentence_models()
    results: dict[str, object] = {}
    for name in arguments.sets or SETS:
        measured = dict(_measure_set(read_labelled(FOLDER / f"{name}.json"), models))
        results[name] = measured
        rows = [[method, *(f"{figures[measure]:.3f}" for measure in MEASURES)] for method, figures in measured.items()]
        print_report(f"{name}: the text alone", ["method", *MEASURES], rows, {name: measured})
    results["speed"] = _show("speed, processor time", list(_measure_speed(models)))
    if arguments.left_out:
        results["left_out"] = _show("left-out phrases, words alone", list(_measure_left_out(load_referential())))
    print(json.dumps(results), flush=True)
    return results


def _show(title: str, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    print_report(title, list(rows[0]), [[str(value) for value in row.values()] for row in rows], {title: rows})
    return rows


def _measure_set(labelled: LabelledSet, models: Sequence[SentenceModel]) -> Iterator[tuple[str, dict[str, float]]]:
    needs = [(need.facts.title, need.facts.description) for need in labelled.needs]
    offers = [(one.offer.facts.title, one.offer.facts.description) for one in labelled.candidates]
    grades = _grades(labelled)
    for name, score in _methods(needs, offers, models):
        yield name, sum_up(grade_rankings(score(), grades))


def _grades(labelled: LabelledSet) -> Grades:
    grades = np.zeros((len(labelled.needs), len(labelled.candidates)), dtype=np.int8)
    for judgment in labelled.judgments:
        grades[judgment.need, judgment.offer] = judgment.grade
    return grades


def _methods(needs: Texts, offers: Texts, models: Sequence[SentenceModel]) -> Iterator[tuple[str, Callable[[], Scores]]]:
    asked, given = ([". ".join(text) for text in texts] for texts in (needs, offers))
    index = LexicalIndex(given, also=asked)
    yield "shared stems", lambda: index.stem_scores(asked)
    yield "shared letters", lambda: index.gram_scores(asked)
    for model in models:
        yield f"meaning alone ({model.name}, centred)", lambda model=model: _compare(asked, given, model)  # type: ignore[misc]
    referential = load_referential()
    trained = read_model(referential)
    yield "skills by words", lambda: _fit(Profiler(referential, trained, models={}), needs, offers)
    for model in models:
        yield (
            f"skills by words and meaning ({model.name})",
            lambda model=model: _fit(Profiler(referential, trained, models={model.name: model}), needs, offers),  # type: ignore[misc]
        )
    if len(models) > 1:
        together = Profiler(referential, trained, models={model.name: model for model in models})
        yield "skills by meaning only", lambda: _fit(together, needs, offers, words=False)
        yield "skills by words and meaning (all)", lambda: _fit(together, needs, offers)


def _compare(asked: list[str], given: list[str], model: SentenceModel) -> Scores:
    vectors = model.embed([*asked, *given])
    centred = vectors - vectors.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred[: len(asked)] @ centred[len(asked) :].T, dtype=np.float32)


def _fit(profiler: Profiler, needs: Texts, offers: Texts, *, words: bool = True) -> Scores:
    asked, given = profiler.read_all(needs), profiler.read_all(offers)
    if not words:
        asked, given = ([_by_meaning(profiler, reading) for reading in side] for side in (asked, given))
    return measure_text_fit(asked, given, measure_nearness(profiler.referential, profiler.codes))


def _by_meaning(profiler: Profiler, reading: Reading) -> Reading:
    scores = sum(meaning.score(points[None])[0] for (meaning, _), points in zip(profiler.meanings, reading.placed, strict=True))
    raised = np.exp(scores - np.max(scores))
    return replace(reading, shares=np.asarray(raised / raised.sum(), dtype=np.float32))


def _measure_speed(models: Sequence[SentenceModel]) -> Iterator[dict[str, object]]:
    """Texts a second, one by one as people send them: read, and suggested with evidence. Texts are asked once each."""
    labelled = read_labelled(FOLDER / f"{SETS[0]}.json")
    texts = [(need.facts.title, need.facts.description) for need in labelled.needs]
    ways = {"no sentence model": (False, False), "the quickest": (True, False), "all": (True, True)}
    for name, (sentences, thorough) in ways.items():
        if sentences and not models:
            continue
        profiler = make_profiler(load_referential(), sentences=sentences, thorough=thorough)
        tag_reading(profiler, profiler.read("La première paie", "pour ce qui se charge."))
        started = time.process_time()
        readings = [profiler.read(f"{name} {title}", description) for title, description in texts]
        read = time.process_time()
        for reading in readings:
            tag_reading(profiler, reading)
        told = time.process_time()
        yield {
            "sentence models": name,
            "read, texts a second": round(len(texts) / (read - started), 1),
            "with evidence, texts a second": round(len(texts) / (told - started), 1),
        }


def _measure_left_out(referential: Referential) -> Iterator[dict[str, object]]:
    skills = {
        code: replace(skill, asks=_keep(skill.asks), gives=_keep(skill.gives)) for code, skill in referential.skills.items()
    }
    learnt = replace(referential, skills=skills)
    profiler = Profiler(learnt, train(learnt, embedders=()), models={})
    for voice in ("asks", "gives"):
        texts = [
            (code, text)
            for code, skill in referential.skills.items()
            for text in _join([phrase for phrase in getattr(skill, voice) if _is_left_out(phrase)])
        ]
        readings = profiler.read_all([(text, "") for _, text in texts])
        ranks = np.array([
            int((reading.scores > reading.scores[profiler.place_of[code]]).sum())
            for (code, _), reading in zip(texts, readings, strict=True)
        ])  # fmt: skip
        yield {
            "voice": voice,
            "texts": len(texts),
            "right skill first": round(float((ranks < 1).mean()), 3),
            "among five": round(float((ranks < 5).mean()), 3),
        }


def _keep(phrases: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(phrase for phrase in phrases if not _is_left_out(phrase))


def _is_left_out(phrase: str) -> bool:
    return int(hashlib.sha256(phrase.encode()).hexdigest(), 16) % LEFT_OUT == 0


def _join(phrases: list[str]) -> list[str]:
    order = random.Random(len(phrases))  # the same texts in each run
    texts: list[str] = []
    while phrases:
        number = order.randint(2, 3)
        texts.append(". ".join(phrases[:number]))
        phrases = phrases[number:]
    return texts
