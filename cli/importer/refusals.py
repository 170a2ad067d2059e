"""What the platform refuses, said to the officer: in French, in the file's own columns and units.

The API speaks English, to programs. Most faults are found before anything is sent (checking.py); what only the platform can
know is translated here, by the problem's code and, where one code stands for several, by words of its text
(tests/cli/test_refusals.py holds them to the services' source). What is in no table is passed on as it is.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from cli.api import ApiError
from cli.importer.checking import Layout
from cli.importer.codes import ACTOR_KINDS
from cli.importer.layouts import SUBSIDIES

EXAMPLES = "comparez avec les exemples du modèle de fichier"
CHANGED_AT_ONCE = "modifié au même moment par quelqu'un d'autre"
STATES = {
    "draft": "en brouillon", "qualified": "qualifié", "open": "ouvert", "paused": "en pause", "covered": "couvert",
    "fulfilled": "satisfait", "withdrawn": "retiré", "expired": "expiré",
}  # fmt: skip
KINDS = {code: word for word, code in ACTOR_KINDS.items()}
ACTOR_COLUMN = {
    SUBSIDIES: "association", "campagne": "operateur", "promesses": "contributeur", "besoins": "association", "offres": "membre",
}  # fmt: skip


@dataclass(frozen=True)
class Refusal:
    """In the words of the file: the column at fault ("" for the whole row), what is wrong, and what to write instead."""

    column: str
    problem: str
    cure: str


@dataclass(frozen=True)
class Rule:
    """`code` and `words` (a pattern within the English text) know a refusal; `problem` and `cure` may name its groups.

    `column`: where the platform points to no field, the column at fault, for each kind of file that has it.
    """

    code: str
    words: str
    problem: str
    cure: str
    column: str = ""


RULES = (
    # registry
    Rule(
        "identifier-taken", r"belongs to (?P<name>.+) \(key (?P<key>[^)]+)\)", "déjà porté par un autre acteur",
        "c'est celui de « {name} » (référence {key}) : corrigez l'un des deux, ou archivez l'autre",
    ),
    Rule("archived", r"archived on", "archivé : il ne change plus", "donnez-lui une nouvelle référence", "ref"),
    Rule("ref-taken", r"", "référence déjà prise", "choisissez-en une autre", "ref"),
    Rule(
        "bad-input", r"acts for an actor", "acteur manquant",
        "un membre au rôle association ou entreprise agit pour un acteur : donnez sa référence",
    ),
    Rule("bad-input", r"there is no actor", "acteur inconnu ou archivé", "importez-le d'abord, ou nommez-en un autre"),
    Rule(
        "bad-input", r"is given as well; keep one", "numéro donné deux fois, sûr et à vérifier",
        "gardez l'un et videz l'autre colonne",
    ),
    Rule(
        "bad-input", r"begins with the SIREN", "le SIRET ne commence pas par le SIREN de la ligne",
        "corrigez l'un des deux d'après l'avis de situation",
    ),
    # credits
    Rule(
        "actor-unfit", r"is archived and cannot be", "cet acteur est archivé", "nommez-en un autre, ou enregistrez-le de nouveau",
        "acteur",
    ),
    Rule(
        "actor-unfit", r"is recorded as (?P<kind>\w+) and cannot be", "cet acteur est enregistré comme « {kind} »",
        "il faut une association : corrigez son type dans acteurs.csv, ou nommez-en une autre", "acteur",
    ),
    Rule(
        "bad-input", r"must not (?:be|lie) before", "la fin précède le début",
        "écrivez une date de fin égale ou postérieure au début",
    ),
    Rule(
        "campaign-not-draft", r"", "la campagne est ouverte ou close : ses règles ne changent plus",
        "remettez les valeurs d'avant, ou écrivez la campagne suivante sous une autre référence", "ref",
    ),
    Rule(
        "campaign-over", r"", "la campagne est close ou terminée", "inscrivez cette ligne dans une campagne ouverte", "campagne",
    ),
    Rule(
        "campaign-not-open", r"", "la campagne n'est pas ouverte, ou elle est close",
        "attendez son ouverture, ou nommez une campagne ouverte", "campagne",
    ),
    Rule(
        "pledge-of-another", r"", "cette promesse est celle d'un autre contributeur",
        "donnez à celle-ci une autre référence", "ref",
    ),
    Rule(
        "pledge-committed", r"take back (?P<minutes>\d+) at most", "des missions comptent déjà sur ces heures",
        "réduisez la promesse de {minutes} au plus, ou annulez d'abord une mission", "heures",
    ),
    Rule(
        "pledge-too-small", r"is worth (?P<minutes>\d+) minutes", "la promesse ne vaut que {minutes}",
        "ne reprenez pas davantage", "heures",
    ),
    Rule(
        "not-enough-credit", r"", "ces heures ne sont plus dans l'enveloppe : elles sont attribuées",
        "réduisez moins la promesse, ou gardez-la telle qu'elle est", "heures",
    ),
    # matching
    Rule("bad-input", r"name at least one skill", "aucune compétence", "nommez-en au moins une, p. ex. comptabilité"),
    Rule("bad-input", r"name at least one language", "aucune langue", "nommez-en au moins une, p. ex. fr"),
    Rule("bad-input", r"is no skill here", "code de compétence inconnu", "écrivez la compétence en toutes lettres"),
    Rule(
        "bad-input", r"none of these parts of the week", "aucun de ces moments de la semaine ne tombe entre le début et la fin",
        "nommez-en d'autres, élargissez les dates, ou videz la case",
    ),
    Rule(
        "bad-input", r"give the commune's INSEE code", "ni commune, ni travail à distance",
        "donnez le code INSEE de la commune, ou écrivez oui dans a_distance",
    ),
    Rule(
        "bad-input", r"a point needs its commune", "un point sans commune",
        "donnez le code INSEE de la commune, ou videz la latitude et la longitude",
    ),
    Rule(
        "bad-input", r"is no commune's INSEE code", "aucune commune ne porte ce code INSEE",
        "écrivez-le comme 92071 (ce n'est pas le code postal), ou ajoutez la commune à communes.csv",
    ),
    Rule("bad-input", r"say for which association", "association manquante", "donnez sa référence", "association"),
    Rule(
        "not-known-yet", r"", "tous les services ne connaissent pas encore ce que la ligne nomme",
        "vérifiez que l'acteur ou le membre n'est pas archivé, puis relancez l'import dans un moment", "acteur",
    ),
    Rule(
        "wrong-state", r"^It is (?P<state>\w+)", "il est {state} : cela ne se change plus",
        "remettez les valeurs d'avant, ou retirez-le et écrivez-en un autre sous une autre référence", "ref",
    ),
    Rule(
        "need-has-live-mission", r"", "une mission est proposée ou en cours pour ce besoin",
        "déclinez-la ou annulez-la d'abord, ou remettez les valeurs d'avant", "ref",
    ),
    Rule(
        "offer-minutes-promised", r"", "des missions comptent déjà sur ces heures",
        "gardez au moins les heures promises, ou annulez d'abord une mission", "heures",
    ),
    # what another's identifier could do: of the row, not of the whole file
    Rule(
        "forbidden", r"Only an officer gives or takes the role", "seul un agent de la commune donne ou retire le rôle d'agent",
        "laissez cette ligne à un agent, ou changez les rôles", "roles",
    ),
    Rule(
        "forbidden", r"You can only promise your own hours", "ces heures ne sont pas les vôtres",
        "promettez les vôtres, celles de l'entreprise que vous représentez, ou laissez faire la commune", "contributeur",
    ),
    Rule(
        "forbidden", r"You can only act for", "cette ligne est au nom de quelqu'un d'autre",
        "écrivez-la au nom de votre organisation ou au vôtre, ou laissez faire la commune", "acteur",
    ),
    # every service
    Rule("not-found", r"", "introuvable sur la plateforme", "vérifiez les références de la ligne"),
    Rule("version-mismatch", r"", CHANGED_AT_ONCE, "relancez l'import"),
    Rule("idempotency-key-reused", r"", CHANGED_AT_ONCE, "relancez l'import"),
    Rule("too-many-requests", r"", "la plateforme est trop sollicitée", "relancez l'import dans une minute"),
    # what every field's type says (pydantic)
    Rule("bad-input", r"should have at most (?P<count>\d+) characters?", "texte trop long", "au plus {count} caractères"),
    Rule("bad-input", r"should have at least (?P<count>\d+) characters?", "texte trop court", "au moins {count} caractères"),
    Rule("bad-input", r"should have at most (?P<count>\d+) items?", "trop de valeurs", "au plus {count}"),
    Rule("bad-input", r"should have at least (?P<count>\d+) items?", "trop peu de valeurs", "au moins {count}"),
    Rule("bad-input", r"should match pattern", "forme inattendue", EXAMPLES),
    Rule("bad-input", r"greater than or equal to (?P<bound>-?[\d.]+)", "valeur trop petite", "au moins {bound}"),
    Rule("bad-input", r"greater than (?P<bound>-?[\d.]+)", "valeur trop petite", "plus de {bound}"),
    Rule("bad-input", r"less than or equal to (?P<bound>-?[\d.]+)", "valeur trop grande", "au plus {bound}"),
    Rule("bad-input", r"less than (?P<bound>-?[\d.]+)", "valeur trop grande", "moins de {bound}"),
    Rule("bad-input", r"Field required", "valeur manquante", "remplissez la case"),
    Rule("bad-input", r"not a valid email address", "adresse électronique refusée", "écrivez-la comme nom@exemple.fr"),
    Rule("bad-input", r"Input should be ", "valeur d'une autre forme que celle attendue", EXAMPLES),
)  # fmt: skip


def explain(layout: Layout, error: ApiError) -> Refusal:
    """The refusal of a row, at the column whose field the platform points to."""
    pointer, detail = _said(error)
    column = layout.column_of(pointer)
    if (known := _find(error)) is None:
        return Refusal(column, f"refusé par la plateforme ({error.code})", detail)
    rule, found = known
    facts = {name: _in_words(name, text, pointer) for name, text in found.groupdict().items()}
    return Refusal(column or _column_of(rule, layout), rule.problem.format(**facts), rule.cure.format(**facts))


def is_of_the_caller(error: ApiError) -> bool:
    """Whether the same would be said of every row: the identifier is not let in, or has no right to any of it."""
    return error.status == 401 or (error.status == 403 and _find(error) is None)


def _said(error: ApiError) -> tuple[str, str]:
    """The first field at fault ("" where none is named), and what is said of it."""
    return next(((item["pointer"], item["detail"]) for item in error.fields), ("", error.reason))


def _find(error: ApiError) -> "tuple[Rule, re.Match[str]] | None":
    _, detail = _said(error)
    return next(((rule, found) for rule in RULES if rule.code == error.code and (found := re.search(rule.words, detail))), None)


def _column_of(rule: Rule, layout: Layout) -> str:
    """Whom the row is about is called otherwise in each file."""
    name = ACTOR_COLUMN.get(layout.stem, "") if rule.column == "acteur" else rule.column
    return name if any(column.name == name for column in layout.columns) else ""


def _in_words(name: str, text: str, pointer: str) -> str:
    """A fact of the English text as the file writes it: bounds in the column's unit, states and kinds in French."""
    said: dict[str, Callable[[], str]] = {
        "minutes": lambda: _hours(float(text)),
        "bound": lambda: _amount(float(text), pointer),
        "state": lambda: STATES.get(text, text),
        "kind": lambda: KINDS.get(text, text),
    }
    return said[name]() if name in said else text


def _amount(value: float, pointer: str) -> str:
    """The API counts in cents, minutes and thousandths; the files in euros, hours and per cent."""
    if pointer.endswith("_cents"):
        return f"{_number(value / 100)} €"
    if pointer.endswith("_permille"):
        return f"{_number(value / 10)} %"
    return _hours(value) if pointer.endswith("minutes") and not pointer.endswith("step_minutes") else _number(value)


def _hours(minutes: float) -> str:
    return f"{_number(minutes / 60)} h"


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".").replace(".", ",")
