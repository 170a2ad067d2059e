"""The commands of `metis match`, as a person meets them."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import TeachingGroup

match_app = typer.Typer(
    cls=TeachingGroup,
    no_args_is_help=True,
    help="L'appariement (matching) : compétences, explications, mesures sur vos propres fichiers.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Un objet JSON sur une ligne au lieu d'un tableau.")]
NoSentences = Annotated[
    bool, typer.Option("--no-sentences", help="Sans modèle de phrases : mots et lettres seulement, comme si l'extra manquait.")
]


@match_app.command("eval-links")
def eval_links(
    queries: Annotated[Path, typer.Option("--queries", help="Textes à rapprocher : une ligne chacun, identifiant<TAB>texte.")],
    corpus: Annotated[Path, typer.Option("--corpus", help="Textes parmi lesquels chercher, de la même forme.")],
    judgments: Annotated[Path, typer.Option("--judgments", help="Réponses attendues (TREC) : requête 0 texte note.")],
    as_json: AsJson = False,
    no_sentences: NoSentences = False,
) -> None:
    """Mesurer la recherche de textes proches (retrieval) sur des fichiers annotés.

    Chaque texte de --queries classe tout --corpus, du plus proche au plus lointain. Une note de 1 ou plus dans --judgments
    désigne une bonne réponse. Les textes sans bonne réponse ne comptent pas.

    hit@1 et hit@10 : part des textes dont une bonne réponse est première, ou parmi les dix premières. mrr : moyenne de
    1 / rang de la première bonne réponse, dans le classement entier (1 = toujours première).

    Aucune instance n'a besoin de tourner. Avec les modèles de phrases, comptez quelques minutes pour 15 000 textes ;
    --no-sentences répond en moins d'une minute.

    [dim]Exemple :[/] metis match eval-links --queries q.tsv --corpus c.tsv --judgments j.tsv --json
    """
    from cli.matching.links import LinkFiles, run

    run(LinkFiles(queries, corpus, judgments), as_json=as_json, sentences=not no_sentences)


@match_app.command("eval")
def eval_(
    file: Annotated[Path, typer.Argument(help="Fichier JSON annoté : besoins, offres, jugements, verrous, passages.")],
    as_json: AsJson = False,
    no_sentences: NoSentences = False,
    worst: Annotated[int, typer.Option("--worst", min=0, help="Nombre de besoins les moins bien servis à montrer.")] = 10,
) -> None:
    """Mesurer l'appariement des besoins et des offres sur un fichier annoté.

    Forme : {"needs": [{id, title, description, commune, mode, minutes, starts_on, ends_on, languages}],
    "offers": [les mêmes, plus kind et radius_km], "judgments": [{need, offer, grade}], "gates": [{need, offer, blocked_by}],
    "passes": [{need, offer}]}. commune : code INSEE ou nom (« Sceaux (92) ») ; mode : onsite, remote, either ; kind :
    professional, personal ; grade : 0 à 3 ; blocked_by : dates, distance, language, mode. Le français est compris aussi
    (présentiel, distance, mixte…). Un champ absent ne bloque rien.

    Chaque texte est lu, ses compétences sont confirmées telles quelles. ndcg@10, recall@5 (note 2 ou plus), hit@1, hit@3 : le
    texte seul, verrous ouverts. gates_blocked, passes_passed : ce que répondent les verrous de l'appariement.

    Une ligne inutilisable est nommée avec son champ et son remède, et rien n'est mesuré (code de sortie 2).

    [dim]Exemple :[/] metis match eval besoins-offres.json --json
    """
    from cli.matching.fitting import run

    run(file, as_json=as_json, sentences=not no_sentences, worst=worst)
