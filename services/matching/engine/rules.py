"""The weights of the score, and the explanation that goes with every result.

A decision taken with an algorithm says so, with its main rules and how to ask a person (code des relations entre le
public et l'administration, articles L. 311-3-1 and R. 311-3-1-1 f.). Change a rule here and its sentence with it.
"""

from dataclasses import dataclass

SKILLS, PLACE, DATES, LOAD = "skills", "place", "dates", "load"
MAXIMUM_POINTS = {SKILLS: 50, PLACE: 20, DATES: 15, LOAD: 15}
LABELS = {SKILLS: "Compétences", PLACE: "Lieu", DATES: "Dates", LOAD: "Charge du bénévole"}

REMOTE_SHARE = 0.75  # of the points for the place: near is better for cooperation in town, remote is still good
FARTHEST_SHARE = 0.5  # of the points for the place, at the very edge of the offer's radius


@dataclass(frozen=True)
class Explanation:
    notice: str
    purpose: str
    contribution: str
    data: tuple[str, ...]
    rules: tuple[str, ...]
    ask_a_person: str
    law: str


EXPLANATION = Explanation(
    notice="Ce rapprochement a été calculé par un algorithme.",
    purpose="Proposer, pour un besoin d'association, une offre de compétences qui convienne.",
    contribution="L'algorithme propose seulement : l'association, la personne bénévole et, pour une offre professionnelle, "
    "son entreprise acceptent ou refusent librement chaque mission.",
    data=(
        "le besoin : compétences, durée, dates, commune, à distance ou non",
        "l'offre : compétences et niveaux, durée encore libre, dates, commune, rayon, à distance ou non",
        "les missions en cours ou proposées de la personne bénévole, et son organisation",
        "les propositions déjà déclinées ou annulées entre ce besoin et cette offre",
    ),
    rules=(
        "Une offre convient si elle partage au moins une compétence, au moins un jour et assez de minutes avec le besoin, "
        "et si le lieu va : à distance quand les deux côtés l'acceptent, sinon dans le rayon de l'offre, à vol d'oiseau "
        "entre les centres des communes.",
        "Une personne n'est pas proposée à sa propre association, ni deux fois pour le même besoin.",
        f"Compétences : jusqu'à {MAXIMUM_POINTS[SKILLS]} points, selon la part des compétences demandées et leur niveau.",
        f"Lieu : jusqu'à {MAXIMUM_POINTS[PLACE]} points, le maximum dans la même commune, la moitié au bord du rayon, "
        "les trois quarts à distance.",
        f"Dates : jusqu'à {MAXIMUM_POINTS[DATES]} points, selon la part des jours du besoin que l'offre couvre.",
        f"Charge : jusqu'à {MAXIMUM_POINTS[LOAD]} points, partagés par le nombre de missions de la personne plus une.",
        "Pour tous les besoins ensemble : ceux qui ont le moins d'offres possibles sont servis d'abord ; chaque besoin reçoit "
        "une mission au plus, et aucune offre plus de minutes qu'elle n'en a.",
    ),
    ask_a_person="Pour comprendre ou contester un résultat, écrivez à l'opérateur de la campagne ou à l'agent de la ville "
    "chargé du dispositif : une personne reprend l'examen et vous répond.",
    law="Code des relations entre le public et l'administration, article L. 311-3-1",
)
