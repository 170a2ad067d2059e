"""The explanation that goes with every result: main rules, weights, data, and how to ask a person.

A decision taken with an algorithm says so (code des relations entre le public et l'administration, articles L. 311-3-1 and
R. 311-3-1-1 f.). The sentences are built from the weights in force: change a rule here and its sentence with it.
"""

from dataclasses import dataclass, replace

from services.matching.engine.sentences import count
from services.matching.engine.weights import (
    AVAILABILITY,
    CONTINUITY,
    DISTANCE,
    MINUTES,
    NEAR,
    NEWCOMER,
    SKILLS,
    UNMET,
    Weights,
)

LABELS = {
    SKILLS: "Compétences",
    NEAR: "Compétences proches",
    DISTANCE: "Distance",
    AVAILABILITY: "Disponibilité",
    MINUTES: "Durée",
    CONTINUITY: "Continuité",
    NEWCOMER: "Place aux nouveaux",
    UNMET: "Attente de l'association",
    # of the missions that were proposed before weights had versions
    "place": "Lieu",
    "dates": "Dates",
    "load": "Charge du bénévole",
}


@dataclass(frozen=True)
class Explanation:
    notice: str
    purpose: str
    contribution: str
    data: tuple[str, ...]
    rules: tuple[str, ...]
    ask_a_person: str
    law: str


_EVERY = Explanation(
    notice="Ce rapprochement a été calculé par un algorithme.",
    purpose="Proposer, pour un besoin d'association, une offre de compétences qui convienne.",
    contribution="L'algorithme propose seulement : l'association, la personne bénévole et, pour une offre professionnelle, "
    "son entreprise acceptent ou refusent librement chaque mission.",
    data=(
        "le besoin : compétences et niveaux, durée, dates, moments de la semaine, commune ou lieu, à distance ou non, langues, "
        "cadre professionnel ou personnel, présence de mineurs, charte demandée",
        "l'offre : compétences et niveaux, durée encore libre, dates, moments de la semaine, commune ou lieu, rayon, à distance "
        "ou non, langues, cadre, associations exclues ; contrôle d'honorabilité et charte signée, que la ville établit",
        "les missions confiées à la personne bénévole, celles menées avec l'association, et son organisation",
        "les associations du panel, et les heures que chacune attend encore",
        "les propositions déjà déclinées ou annulées entre ce besoin et cette offre",
    ),
    rules=(),
    ask_a_person="Pour comprendre ou contester un résultat, écrivez à l'opérateur de la campagne ou à l'agent de la ville "
    "chargé du dispositif : une personne reprend l'examen et vous répond.",
    law="Code des relations entre le public et l'administration, article L. 311-3-1",
)

_GATES = (
    "Une offre ne peut convenir que si elle a au moins une compétence demandée ou une compétence proche, au moins un jour à "
    "venir et un moment de la semaine en commun, assez d'heures libres, les langues demandées, le cadre demandé "
    "(professionnel ou personnel), et si le lieu va : dans le rayon de l'offre, à vol d'oiseau, ou à distance quand les deux "
    "côtés l'acceptent.",
    "Avec des mineurs, il faut que la ville ait contrôlé l'honorabilité de la personne ; où la charte est demandée, qu'elle "
    "soit signée ; l'association doit être au panel de la campagne.",
    "Une personne n'est pas proposée à sa propre association, ni à une association avec laquelle elle a déclaré un lien, ni "
    "deux fois pour le même besoin.",
)
_ALL_TOGETHER = (
    "Pour tous les besoins ensemble : ceux qui ont le moins d'offres possibles sont servis d'abord ; chaque besoin reçoit une "
    "mission au plus, et aucune offre plus de minutes qu'elle n'en a."
)
# What held until weights had versions.
_FIRST_RULES = (
    "Une offre convenait si elle partageait au moins une compétence, au moins un jour et assez de minutes avec le besoin, et "
    "si le lieu allait : à distance quand les deux côtés l'acceptaient, sinon dans le rayon de l'offre, à vol d'oiseau.",
    "Compétences : jusqu'à 50 points ; lieu : jusqu'à 20 ; dates : jusqu'à 15 ; charge de la personne bénévole : jusqu'à 15.",
)


def explain_rules(weights: Weights | None) -> Explanation:
    """The rules in force with these weights; none: those of missions proposed before weights had versions."""
    if weights is None:
        return replace(_EVERY, rules=_FIRST_RULES)
    return replace(_EVERY, rules=(*_GATES, *_list_points(weights), _ALL_TOGETHER))


def _list_points(weights: Weights) -> tuple[str, ...]:
    w = weights
    both = count(w.continuity_missions, "mission menée", "missions menées")
    several = count(w.newcomer_missions, "mission confiée", "missions confiées")
    return (
        "Le score est la somme de points entiers, chacun arrondi vers le bas ; il va de 0 à 100.",
        f"Compétences : jusqu'à {w.skills} points, selon la part des compétences demandées et leur niveau.",
        f"Compétences proches : à la place d'une compétence demandée qui manque, une compétence qui la remplace pour au moins "
        f"{w.near_from_percent} % compte pour cette part, jusqu'à {w.near} points.",
        f"Distance : jusqu'à {w.distance} points sur place, de moins en moins jusqu'à aucun à {w.far_km} km ; à distance, "
        f"{w.remote_percent} % de ces points.",
        f"Disponibilité : jusqu'à {w.availability} points, selon la part des jours du besoin que l'offre couvre, et des moments "
        "de la semaine s'il en nomme.",
        f"Durée : jusqu'à {w.minutes} points, plus la durée demandée est proche des heures encore libres.",
        f"Continuité : jusqu'à {w.continuity} points, tous à partir de {both} ensemble sans litige.",
        f"Place aux nouveaux : jusqu'à {w.newcomer} points, plus aucun à partir de {several} à la personne bénévole.",
        f"Attente de l'association : jusqu'à {w.unmet} points, selon la part de ses heures que personne ne sert encore.",
        "Ni le nom, ni l'âge, ni le sexe, ni l'origine, ni aucun autre trait d'une personne n'entre dans le score.",
    )
