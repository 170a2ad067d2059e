"""Refusals of the platform as an officer reads them: what it is about, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from cli.api import ApiError
from cli.console import CliError

# By the problem's code: what is said, and the cure. What the platform said itself stands below, with its figures.
WORDS = {
    "empty-panel": ("Le panel de cette campagne est vide.", "Importez subventions.csv, puis recommencez."),
    "campaign-not-open": (
        "La campagne n'est pas ouverte, ou son dernier jour est passé.",
        "Ouvrez-la d'abord ; si elle est finie, signez dans la suivante.",
    ),
    "campaign-over": ("La campagne est close.", "Travaillez dans une campagne ouverte."),
    "proposal-outdated": (
        "Le panel, ses subventions ou ses dotations ont changé depuis ce calcul.",
        "Calculez de nouveau (metis grants propose), relisez, puis signez ce calcul-là.",
    ),
    "computation-of-another": ("Ce n'est pas le calcul que vous avez lu.", "Relancez la commande et relisez avant de signer."),
    "already-signed": (
        "Ces dotations sont déjà signées.",
        "Lisez-les avec metis grants show ; pour corriger, un nouveau calcul, ou l'écriture contraire.",
    ),
    "actor-unfit": (
        "Une association de ce calcul n'est pas inscrite au registre, ou n'y est plus active.",
        "Inscrivez-la, ou mettez sa dotation à 0 avec --adjust et un motif.",
    ),
    "not-enough-credit": (
        "Il manque des heures sur un compte.",
        "Si c'est l'enveloppe : attendez d'autres promesses, ou accordez moins avec --adjust.",
    ),
    "proposal-not-signed": ("Ce calcul n'est pas signé : rien à publier.", "Signez-le d'abord (metis grants sign)."),
    "already-published": (
        "Une publication dit déjà la même chose.",
        "Rien à faire ; une dotation annulée ou complémentaire se publie de nouveau.",
    ),
    "approval-pending": (
        "Une autre demande sur le même sujet attend déjà.",
        "Voyez-la avec metis approvals list ; faites-la d'abord approuver, refuser ou retirer.",
    ),
    "person-needed": (
        "Cet identifiant ne désigne personne, et il faut ici deux personnes distinctes.",
        "Servez-vous de votre propre identifiant, rattaché à votre fiche de membre.",
    ),
    "own-request": ("Vous l'avez proposée vous-même.", "Demandez à un autre agent d'approuver ou de refuser."),
    "already-decided": ("Cette demande est déjà tranchée.", "Voyez ce qui en est advenu : metis approvals list --all."),
    "request-expired": ("Cette demande a attendu plus de quatorze jours.", "Proposez de nouveau l'opération."),
    "request-stale": (
        "L'opération ne porterait plus sur le même nombre d'heures.",
        "Refusez la demande, puis proposez de nouveau.",
    ),
    "request-altered": (
        "Cette demande n'est plus celle qui a été proposée : elle a été changée dans la base de données.",
        "Refusez-la, et faites examiner la base par la personne technique.",
    ),
    "daily-limit": (
        "Le plafond du jour d'une même personne serait dépassé.",
        "Continuez demain, demandez à un collègue, ou faites moins.",
    ),
    "nothing-carried": (
        "Il n'y a plus rien à reporter de cette campagne.",
        "Voyez les dotations de la campagne suivante : metis grants show, ou l'extrait d'une association.",
    ),
    "forbidden": ("Votre identifiant n'en a pas le droit.", "Il faut celui d'un agent de la commune."),
}


@contextmanager
def in_french() -> Iterator[None]:
    """Turn a refusal with a known code into a sentence and its cure; others are told as the platform tells them."""
    try:
        yield
    except ApiError as error:
        said = [f"{one.get('pointer', '')} {one.get('detail', '')}".strip() for one in error.fields]
        if any(one.get("pointer", "").endswith("expires_on") for one in error.fields):
            cure = "Donnez un jour entre aujourd'hui et le dernier de la campagne, ou laissez --expires-on de côté."
            raise CliError("Ce dernier jour ne convient pas.", cure=cure, detail="\n".join(said)) from error
        if error.code not in WORDS:
            raise
        message, cure = WORDS[error.code]
        raise CliError(message, cure=cure, detail=error.reason) from error
