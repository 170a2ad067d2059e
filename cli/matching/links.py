"""`metis match eval-links`: a labelled set of texts and their nearest, read, ranked and measured."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from cli.console import CliError, console, errors
from cli.wording import counted

_FORMS = {
    "text": "Une ligne par texte : un identifiant, une tabulation, le texte (UTF-8).",
    "judgment": "Une ligne par jugement : requête, 0, texte du corpus, note entière ; p. ex. « Q1 0 C7 1 ».",
}


@dataclass(frozen=True)
class LinkFiles:
    queries: Path
    corpus: Path
    judgments: Path


@dataclass(frozen=True)
class LinkSet:
    """`relevant`: for each question, the places in the corpus of its right answers; questions without any are left out."""

    questions: tuple[str, ...]
    corpus: tuple[str, ...]
    relevant: tuple[frozenset[int], ...]
    without_answer: int
    unknown: int


def run(files: LinkFiles, *, as_json: bool, sentences: bool) -> None:
    links = read_links(files)
    if links.unknown:
        errors.print(f"{counted(links.unknown, 'jugement laissé')} de côté : requête ou texte absent des fichiers.")
    facts = measure(links, sentences=sentences)
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    console.print(f"Textes cherchés : {facts['queries']} parmi {facts['corpus']}, en {facts['seconds']} s")
    console.print(f"  hit@1   {facts['hit@1']:.3f}\n  hit@10  {facts['hit@10']:.3f}\n  mrr     {facts['mrr']:.3f}")
    models = facts["models"]
    told = f"Modèles de phrases : {', '.join(models)}." if isinstance(models, list) and models else "Sans modèle de phrases."
    console.print(told, style="dim")
    if sentences and not models:
        console.print("→ Pour lire aussi le sens : pip install 'metis[sentences]'", style="dim")
    if links.without_answer:
        console.print(
            f"{counted(links.without_answer, 'texte')} sans bonne réponse dans le corpus : hors du compte.", style="dim"
        )


def measure(links: LinkSet, *, sentences: bool) -> dict[str, object]:
    from services.matching.engine.text.encoder import find_sentence_models
    from services.matching.engine.text.measures import RankingMeasures
    from services.matching.engine.text.retriever import Retriever

    began = time.perf_counter()
    models = find_sentence_models() if sentences else ()
    retriever = Retriever(links.corpus, questions_too=links.questions, models=models)
    measures = RankingMeasures()
    for first, scores in retriever.batches(links.questions):
        for row, relevant in zip(scores, links.relevant[first:], strict=False):
            measures.add(row, relevant)
    return {
        "hit@1": round(measures.hit_at(1), 4),
        "hit@10": round(measures.hit_at(10), 4),
        "mrr": round(measures.mrr, 4),
        "queries": len(links.questions),
        "corpus": len(links.corpus),
        "seconds": round(time.perf_counter() - began, 1),
        "sentence_model": bool(models),
        "models": [model.name for model in models],
    }


def read_links(files: LinkFiles) -> LinkSet:
    """Raises CliError with the file, the line and the cure."""
    questions, corpus = _read_texts(files.queries), _read_texts(files.corpus)
    place = {name: number for number, name in enumerate(corpus)}
    relevant: dict[str, set[int]] = {name: set() for name in questions}
    unknown = 0
    for number, line in _lines(files.judgments):
        question, answer, grade = _read_judgment(line, where=f"{files.judgments}, ligne {number}")
        if question not in questions or answer not in place:
            unknown += 1
        elif grade > 0:
            relevant[question].add(place[answer])
    asked = [name for name, answers in relevant.items() if answers]
    if not asked:
        raise CliError(
            f"{files.judgments} : aucun jugement ne relie une requête à un texte du corpus.",
            cure="Ses identifiants doivent être ceux de --queries (1re colonne) et de --corpus (3e), avec une note de 1 ou plus.",
        )
    return LinkSet(
        tuple(questions[name] for name in asked),
        tuple(corpus.values()),
        tuple(frozenset(relevant[name]) for name in asked),
        len(questions) - len(asked),
        unknown,
    )


def _read_texts(file: Path) -> Mapping[str, str]:
    texts: dict[str, str] = {}
    for number, line in _lines(file):
        name, tab, text = line.partition("\t")
        name, text = name.strip(), " ".join(text.split())
        if not tab or not name or not text:
            missing = "pas de tabulation" if not tab else "pas d'identifiant" if not name else "pas de texte"
            raise CliError(f"{file}, ligne {number} : {missing}.", cure=_FORMS["text"])
        if name in texts:
            raise CliError(f"{file}, ligne {number} : « {name} » y est déjà.", cure="Donnez à chaque texte son identifiant.")
        texts[name] = text
    if not texts:
        raise CliError(f"{file} est vide.", cure=_FORMS["text"])
    return texts


def _read_judgment(line: str, *, where: str) -> tuple[str, str, int]:
    parts: Sequence[str] = line.split("\t") if line.count("\t") == 3 else line.split()
    if len(parts) != 4:
        raise CliError(f"{where} : {len(parts)} colonnes au lieu de 4.", cure=_FORMS["judgment"])
    try:
        return parts[0].strip(), parts[2].strip(), int(parts[3])
    except ValueError:
        raise CliError(f"{where} : la note « {parts[3]} » n'est pas un entier.", cure=_FORMS["judgment"]) from None


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their number from 1."""
    try:
        content = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise CliError(f"{file} n'existe pas.", cure="Vérifiez le chemin.") from None
    except IsADirectoryError:
        raise CliError(f"{file} est un dossier.", cure="Donnez un fichier.") from None
    except UnicodeDecodeError as error:
        broken = file.read_bytes()[: error.start].count(b"\n") + 1
        raise CliError(f"{file}, ligne {broken} : ce n'est pas de l'UTF-8.", cure="Enregistrez le fichier en UTF-8.") from None
    # Not splitlines: a text may hold a character that Unicode takes for the end of a line.
    for number, line in enumerate(content.replace("\r\n", "\n").split("\n"), 1):
        if line.strip():
            yield number, line
