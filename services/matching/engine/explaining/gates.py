"""The gates in words: what each asks, and out of which data. For the public rules, and for the record."""

from collections.abc import Mapping

from services.matching.engine.gates import ObstacleKind

# Gate: its name, what it asks, the data it looks at.
GATES: Mapping[ObstacleKind, tuple[str, str, str]] = {
    ObstacleKind.SKILLS: (
        "Compétences",
        "au moins une compétence demandée, ou une compétence proche",
        "compétences confirmées du besoin et de l'offre, référentiel",
    ),
    ObstacleKind.DATES: ("Dates", "au moins un jour commun à venir", "dates du besoin et de l'offre"),
    ObstacleKind.WEEK: (
        "Semaine",
        "au moins un moment de la semaine commun, dans les jours communs",
        "moments de la semaine du besoin et de l'offre",
    ),
    ObstacleKind.DISTANCE: (
        "Distance",
        "dans le rayon de l'offre, à vol d'oiseau, ou à distance si les deux côtés l'acceptent",
        "commune ou lieu du besoin et de l'offre, rayon de l'offre",
    ),
    ObstacleKind.MODE: (
        "Sur place ou à distance",
        "un même mode accepté des deux côtés",
        "mode du besoin et de l'offre",
    ),
    ObstacleKind.LANGUAGE: ("Langue", "toutes les langues demandées", "langues de travail du besoin et de l'offre"),
    ObstacleKind.MINUTES: (
        "Heures",
        "assez d'heures libres",
        "durée du besoin, heures offertes, heures des missions de cette offre",
    ),
    ObstacleKind.PANEL: ("Panel", "l'association est au panel de la campagne", "admissions prononcées par la ville"),
    ObstacleKind.SETTING: ("Cadre", "le cadre demandé, professionnel ou personnel", "cadre du besoin et de l'offre"),
    ObstacleKind.MINORS: (
        "Mineurs",
        "honorabilité contrôlée par la ville si des mineurs sont présents",
        "mention du besoin, contrôle établi par la ville",
    ),
    ObstacleKind.CHARTER: (
        "Charte",
        "charte signée si elle est demandée",
        "mention du besoin, signature établie par la ville",
    ),
    ObstacleKind.OWN_ASSOCIATION: (
        "Propre association",
        "la personne n'agit pas déjà pour l'association",
        "rattachement tenu par le registre des acteurs",
    ),
    ObstacleKind.CONFLICT: (
        "Lien déclaré",
        "aucun lien déclaré avec l'association",
        "déclaration de la personne bénévole",
    ),
    ObstacleKind.TURNED_DOWN: (
        "Déjà déclinée",
        "cette paire n'a pas déjà été déclinée ou annulée",
        "missions passées entre ce besoin et cette offre",
    ),
}
