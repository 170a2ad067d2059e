"""The text model as a retriever, each method alone and all together, on two labelled sets of the reference data.

Job titles: MELO's French titles against ESCO's (mean reciprocal rank of the first right answer). Skills: French skill
phrases against the labels of the ESCO skills that they match exactly or closely. Weights were chosen on the half `tuned` of
each set; the half `kept` was only reported. Without the reference data (METIS_REFERENCE_DATA) nothing can be measured.
"""

import argparse
import csv
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.report import print_report
from services.matching.engine.text.coverage import CoverageIndex
from services.matching.engine.text.encoder import SentenceModel, find_sentence_models
from services.matching.engine.text.lexical import LexicalIndex, Scores
from services.matching.engine.text.meaning import MeaningIndex
from services.matching.engine.text.measures import RankingMeasures
from services.matching.engine.text.retriever import Retriever

REFERENCE = Path(os.environ.get("METIS_REFERENCE_DATA", Path(__file__).parents[3] / "shared" / "data"))
BATCH = 256
Ask = Callable[[Sequence[str]], Scores]


@dataclass(frozen=True)
class Links:
    name: str
    questions: list[str]
    corpus: list[str]
    relevant: list[frozenset[int]]

    def first(self, number: int | None) -> "Links":
        """A sample of the questions, always the same, against the whole corpus."""
        chosen = sorted(range(len(self.questions)), key=lambda place: _digest(self.questions[place]))[:number]
        return Links(self.name, [self.questions[n] for n in chosen], self.corpus, [self.relevant[n] for n in chosen])


def read_titles() -> Links:
    folder = REFERENCE / "melo_fra"
    questions, corpus = _read_rows(folder / "queries.tsv"), _read_rows(folder / "corpus_elements.tsv")
    place = {row[0]: number for number, row in enumerate(corpus)}
    relevant: dict[str, set[int]] = {row[0]: set() for row in questions}
    for question, _, answer, grade in _read_rows(folder / "annotations.tsv"):
        if int(grade) > 0:
            relevant[question].add(place[answer])
    asked = [row for row in questions if relevant[row[0]]]
    return Links("titles", [row[1] for row in asked], [row[1] for row in corpus], [frozenset(relevant[row[0]]) for row in asked])


def read_skills() -> Links:
    corpus: list[str] = []
    labels: dict[str, list[int]] = {}
    with (REFERENCE / "esco_skills_fr.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for label in filter(None, [row["preferredLabel"], *row["altLabels"].split("|")]):
                labels.setdefault(row["conceptUri"], []).append(len(corpus))
                corpus.append(label)
    relevant: dict[str, set[int]] = {}
    for phrase, uri, relation in _read_rows(REFERENCE / "vdab_esco_fr.tsv")[1:]:
        if relation in {"exactMatch", "closeMatch"} and uri in labels:
            relevant.setdefault(phrase, set()).update(labels[uri])
    return Links("skills", list(relevant), corpus, [frozenset(places) for places in relevant.values()])


def methods(links: Links, models: Sequence[SentenceModel]) -> Iterator[tuple[str, Callable[[], Ask]]]:
    """Each by its name, built only when its turn comes."""
    corpus, questions = links.corpus, links.questions
    yield "stems", lambda: LexicalIndex(corpus, also=questions).stem_scores
    yield "character n-grams", lambda: LexicalIndex(corpus, also=questions).gram_scores
    yield "near words, by letters", lambda: CoverageIndex(corpus, also=questions).scores
    yield "together, no sentence model", lambda: Retriever(corpus, questions_too=questions).scores
    for model in models:
        yield f"meaning ({model.name})", lambda model=model: MeaningIndex(corpus, model).scores  # type: ignore[misc]
        yield (
            f"together with {model.name}",
            lambda model=model: Retriever(corpus, questions_too=questions, models=[model]).scores,  # type: ignore[misc]
        )
    if len(models) > 1:
        yield "together", lambda: Retriever(corpus, questions_too=questions, models=models).scores


def measure(links: Links, ask: Ask) -> dict[str, float]:
    tuned, kept, whole = RankingMeasures(), RankingMeasures(), RankingMeasures()
    for first in range(0, len(links.questions), BATCH):
        batch = links.questions[first : first + BATCH]
        for question, row, relevant in zip(batch, ask(batch), links.relevant[first:], strict=False):
            whole.ranks.append((tuned if is_tuned(question) else kept).add(row, relevant))
    return {
        "mrr_tuned": tuned.mrr,
        "mrr_kept": kept.mrr,
        "mrr": whole.mrr,
        "hit@1": whole.hit_at(1),
        "hit@10": whole.hit_at(10),
    }


def is_tuned(question: str) -> bool:
    return _digest(question)[0] % 2 == 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--set", choices=["titles", "skills"], help="One of the two; default: both.")
    parser.add_argument("--questions", type=int, help="A sample of so many questions of each set; default: all.")
    parser.add_argument(
        "--no-sentences", action="store_true", help="Without the sentence models: a minute instead of half an hour."
    )


def run(arguments: argparse.Namespace) -> dict[str, object]:
    if not REFERENCE.exists():
        raise SystemExit(f"No reference data in {REFERENCE}; name its folder in METIS_REFERENCE_DATA.")
    models = () if arguments.no_sentences else find_sentence_models()
    result: dict[str, object] = {"sentence_models": [model.name for model in models]}
    for name, read in (("titles", read_titles), ("skills", read_skills)):
        if arguments.set in {None, name}:
            links = read().first(arguments.questions)
            result[name] = _report(links, models)
    print(json.dumps(result), flush=True)
    return result


def _report(links: Links, models: Sequence[SentenceModel]) -> dict[str, dict[str, float]]:
    rows, figures = [], {}
    for name, build in methods(links, models):
        began = time.process_time()
        found = measure(links, build()) | {"cpu_seconds": time.process_time() - began}
        figures[name] = {key: round(value, 4) for key, value in found.items()}
        rows.append([name, *(f"{value:.3f}" for value in list(found.values())[:-1]), f"{found['cpu_seconds']:.0f}"])
    title = f"{links.name}: {len(links.questions):,} questions, {len(links.corpus):,} entries"
    columns = ["method", "MRR tuned half", "MRR kept half", "MRR", "hit@1", "hit@10", "CPU s"]
    print_report(title, columns, rows, {links.name: figures})
    return figures


def _read_rows(file: Path) -> list[list[str]]:
    return [line.split("\t") for line in file.read_text(encoding="utf-8").split("\n") if line]


def _digest(question: str) -> bytes:
    return hashlib.sha1(question.encode(), usedforsecurity=False).digest()
