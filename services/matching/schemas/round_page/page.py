"""The page of a round. Its figures are those that are stored; names and titles are those of today."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from services.matching.domain.offers import Offer
from services.matching.domain.rounds import Choice, Round
from services.matching.domain.shared import Actor
from services.matching.domain.states import RoundState
from services.matching.engine.rounds.inputs import CampaignInputs
from services.matching.engine.sentences import count, write_hours
from services.matching.schemas.proposals import explain
from services.matching.schemas.round_page.html import STYLE, escape, figure, notice, section, table
from services.matching.schemas.round_page.map import Journey, draw_map
from services.matching.schemas.round_page.plots import DARK, ORANGE, Bar, Curve, draw_bars, draw_curves
from services.matching.schemas.rounds import NOTICE, ResultOut, RoundOut

ROWS_SHOWN = 200
STATES = {
    RoundState.ASKED: "demandé, en attente",
    RoundState.COMPUTING: "en cours de calcul",
    RoundState.COMPUTED: "calculé, rien n'est envoyé",
    RoundState.RELEASED: "envoyé",
    RoundState.STOPPED: "arrêté",
    RoundState.FAILED: "impossible",
}
_METHODS = {
    "flow": "flot de coût minimal, exact",
    "slots": "programmation en nombres entiers, à l'écart indiqué",
    "repair": "flot de coût minimal puis réparation, à l'écart indiqué",
}


_TOGETHER = (
    "Tous les besoins ouverts de la campagne sont répartis ensemble : le total des points, compté pour chaque minute servie, "
    "est rendu aussi grand que possible dans la limite des heures offertes, des promesses et des crédits ; le réglage d'équité "
    "fait passer d'abord les premières heures de chaque association."
)

_TRIAL = (
    "Mêmes besoins, offres, choix, tirage et jour que ce tour : seuls les poids diffèrent. Un essai ne s'envoie jamais ; pour "
    "que ces poids valent, un agent les met en vigueur avec son motif, puis demande un nouveau tour."
)


@dataclass(frozen=True)
class PageFacts:
    """What the page shows. `proposals` and `unserved`: rows with titles (store/round_results.py)."""

    round: Round
    campaign_title: str
    inputs: CampaignInputs
    proposals: Sequence[Row[Any]]
    unserved: Sequence[Row[Any]]
    choices: Sequence[Choice]
    actors: Mapping[UUID, Actor]

    def name(self, actor_id: UUID) -> str:
        actor = self.actors.get(actor_id)
        return (actor and actor.name) or f"association {actor_id}"


def build_page(facts: PageFacts) -> str:
    """The whole page, UTF-8. The round must be computed."""
    shown = RoundOut.of(facts.round)
    assert shown.result is not None
    result = shown.result
    kind = "Essai de poids" if shown.trial_of else "Tour de répartition"
    title = f"{kind} : {facts.campaign_title or facts.round.campaign_id}"
    return (
        f'<!doctype html><html lang="fr"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta name="robots" content="noindex"><title>{escape(title)}</title><style>{STYLE}</style></head><body>'
        f'<a class="skip" href="#contenu">Aller au contenu</a><header><h1>{escape(title)}</h1></header><main id="contenu">'
        f"{notice(NOTICE)}{_say_terms(shown)}{_say_figures(facts, result)}{_show_map(facts)}{_show_shares(facts, result)}"
        f"{_show_fairness(shown, result)}{_show_fields(facts)}{_list_proposals(facts)}{_list_unserved(facts)}"
        f"{_list_choices(facts)}{_say_law(facts)}</main></body></html>"
    )


def _say_terms(shown: RoundOut) -> str:
    terms = shown.terms
    rows = [
        ("État", STATES[shown.state]),
        ("Demandé", f"le {shown.asked_at:%d/%m/%Y à %H:%M} UTC"),
        ("Note", shown.note or "—"),
        ("Équité", f"{_percent(terms.fairness)} (0 % : les points seuls ; 100 % : d'abord l'association la moins servie)"),
        (
            "Besoins",
            "une personne bénévole par besoin, en entier" if terms.whole else "partagés : vue d'ensemble, jamais envoyée",
        ),
        ("Poids du score", "à l'essai, sans version" if shown.trial_of else f"version {terms.weights_version}"),
        ("Tirage entre égaux", terms.seed),
    ]
    if shown.trial_of:
        rows.append(("Essai de poids", f"sur le tour {shown.trial_of}. {_TRIAL}"))
    if shown.released:
        rows.append(("Envoi", f"{count(shown.released.missions, 'mission')}, {shown.released.left_out} laissées de côté"))
    return section("Ce tour", "<dl>" + "".join(_pair(*row) for row in rows) + "</dl>", name="tour")


def _pair(term: str, said: str) -> str:
    return f"<dt>{escape(term)}</dt><dd>{escape(said)}</dd>"


def _say_figures(facts: PageFacts, result: ResultOut) -> str:
    figures, greedy = result.figures, result.greedy
    rows = [
        ("Besoins servis", f"{figures.needs_served} sur {figures.needs}"),
        ("Heures servies", f"{write_hours(figures.served_minutes)} sur {write_hours(figures.asked_minutes)} demandées"),
        ("Association la moins servie", f"{_percent(figures.worst_fill)} de sa cible (parmi celles qu'une offre peut servir)"),
        ("Moyenne des associations", f"{_percent(figures.mean_fill)} de leur cible"),
        ("Écart à l'optimum", f"au plus {_percent(figures.gap, digits=2)}"),
        ("Méthode", f"{_METHODS.get(result.method, result.method)} ({result.solver})"),
    ]
    if figures.price_score is not None:
        rows.append(("Prix de l'équité", f"{_percent(figures.price_score, digits=2)} des points"))
    if greedy is not None:
        told = (
            f"servir d'abord les meilleures paires donnerait {write_hours(greedy.served_minutes)}, "
            f"{_percent(greedy.gap, digits=1)} de points en moins que le mieux possible, "
            f"et {_percent(greedy.worst_fill)} à l'association la moins servie"
        )
        rows.append(("Pour comparer", told))
    remarks = []
    if not result.means_known:
        remarks.append(
            "Les promesses et dotations de cette campagne ne sont pas connues ici (elles datent d'avant cette version) : "
            "rien n'a limité ce tour. Le crédit est vérifié à la réservation de chaque mission."
        )
    if result.pairs_left_out:
        remarks.append(f"{result.pairs_left_out} paires possibles, moins bonnes, ne sont pas entrées dans le calcul.")
    block = "<dl>" + "".join(_pair(*row) for row in rows) + "</dl>"
    return section("En chiffres", block, notice(*remarks) if remarks else "", name="chiffres")


def _show_map(facts: PageFacts) -> str:
    needs = {need.id: need.facts.commune for need in facts.inputs.needs}
    offers: dict[UUID, Offer] = {one.offer.id: one.offer for one in facts.inputs.candidates}
    communes = facts.inputs.surroundings.communes
    journeys = [
        Journey(offers[row.offer_id].facts.commune if row.offer_id in offers else None, needs.get(row.need_id))
        for row in facts.proposals
    ]
    waiting = [needs.get(row.need_id) for row in facts.unserved]
    drawn = draw_map(journeys, waiting, communes, title="Carte des besoins et des bénévoles, par commune", name="carte-svg")
    by_pair = Counter((_commune(one.volunteer_commune, communes), _commune(one.need_commune, communes)) for one in journeys)
    rows = [(home, place, str(number)) for (home, place), number in sorted(by_pair.items(), key=lambda item: (-item[1], item[0]))]
    caption = "Missions proposées par commune"
    return section(
        "Où",
        figure(drawn, "Centres des communes, échelle réelle ; un trait relie la commune des bénévoles à celle du besoin.")
        if drawn
        else "",
        table(caption, ("Commune de la personne bénévole", "Commune du besoin", "Missions"), rows[:ROWS_SHOWN], numbers=[2]),
        name="carte",
    )


def _commune(insee: str | None, communes: Mapping[str, Any]) -> str:
    if insee is None:
        return "à distance"
    return communes[insee].name if insee in communes else insee


def _show_shares(facts: PageFacts, result: ResultOut) -> str:
    shares = sorted(result.shares, key=lambda share: (_fill(share.served_minutes, share.target_minutes), share.association_id))
    bars = [Bar(facts.name(share.association_id), share.target_minutes, share.served_minutes) for share in shares[:ROWS_SHOWN]]
    rows = [
        (
            facts.name(share.association_id),
            write_hours(share.asked_minutes),
            "inconnu" if share.credit_minutes is None else write_hours(share.credit_minutes),
            write_hours(share.target_minutes),
            write_hours(share.served_minutes),
            _percent(_fill(share.served_minutes, share.target_minutes)) if share.target_minutes else "—",
            "" if share.reachable else "aucune offre ne convient",
        )
        for share in shares[:ROWS_SHOWN]
    ]
    headings = ("Association", "Demandé", "Crédit", "Cible", "Servi", "Part de la cible", "Remarque")
    drawn = draw_bars("Heures servies par association, sur leur cible", bars, name="parts", whole="cible", part="servi")
    return section(
        "Qui est servi",
        "<p>La cible d'une association est ce qu'elle demande, dans la limite de son crédit. La moins servie vient d'abord.</p>",
        figure(drawn, "Les mêmes chiffres sont dans le tableau qui suit."),
        table("Part de la cible servie, par association", headings, rows, numbers=[1, 2, 3, 4, 5]),
        name="associations",
    )


def _fill(served: int, target: int) -> float:
    return served / target if target else 1.0


def _show_fairness(shown: RoundOut, result: ResultOut) -> str:
    if not result.fairness:
        return ""
    worst = Curve("part servie de la moins servie", [(row.fairness, row.worst_fill) for row in result.fairness], DARK)
    price = Curve("points perdus", [(row.fairness, row.price_score) for row in result.fairness], ORANGE, dashed=True)
    title = "Prix de l'équité selon le réglage, de 0 à 100"
    rows = [
        (
            _percent(row.fairness),
            _percent(row.worst_fill),
            _percent(row.low_fill),
            _percent(row.mean_fill),
            write_hours(row.served_minutes),
            _percent(row.price_score, digits=2),
            _percent(row.price_minutes, digits=2),
        )
        for row in result.fairness
    ]
    headings = (
        "Réglage",
        "Moins servie",
        "Dixième la moins servie",
        "Moyenne",
        "Heures servies",
        "Points perdus",
        "Heures perdues",
    )
    return section(
        "Le prix de l'équité",
        figure(draw_curves(title, [worst, price], name="equite-svg", marked=shown.terms.fairness), title),
        table("Ce que donnerait chaque réglage", headings, rows, numbers=range(7)),
        name="equite",
    )


def _show_fields(facts: PageFacts) -> str:
    """Minutes by the associations' fields of action; those of several fields in equal parts."""
    minutes: Counter[str] = Counter()
    for row in facts.proposals:
        actor = facts.actors.get(row.association_id)
        fields = actor.fields_of_action if actor and actor.fields_of_action else ("non renseigné",)
        for number, field in enumerate(sorted(fields)):
            minutes[field] += row.minutes // len(fields) + (number < row.minutes % len(fields))
    rows = [(field, write_hours(amount)) for field, amount in sorted(minutes.items(), key=lambda item: (-item[1], item[0]))]
    return section(
        "Par domaine d'action",
        "<p>Une association de plusieurs domaines compte à parts égales dans chacun.</p>",
        table("Heures proposées par domaine d'action des associations", ("Domaine", "Heures"), rows, numbers=[1]),
        name="domaines",
    )


def _list_proposals(facts: PageFacts) -> str:
    rows = [
        (
            row.need_title,
            facts.name(row.association_id),
            row.offer_title,
            write_hours(row.minutes),
            str(row.points),
            ("imposée ; " if row.pinned else "") + " ; ".join(row.reasons),
            row.left_out or ("mission proposée" if row.mission_id else "essai" if facts.round.is_trial else "à décider"),
        )
        for row in facts.proposals[:ROWS_SHOWN]
    ]
    headings = ("Besoin", "Association", "Offre", "Durée", "Points", "Pourquoi", "Suite")
    return section(
        "Les propositions",
        _say_more(len(facts.proposals)),
        table("Missions que ce tour propose", headings, rows, numbers=[3, 4]),
        name="propositions",
    )


def _list_unserved(facts: PageFacts) -> str:
    rows = [
        (row.need_title, facts.name(row.association_id), write_hours(row.missing_minutes), " ; ".join(row.why))
        for row in facts.unserved[:ROWS_SHOWN]
    ]
    headings = ("Besoin", "Association", "Heures manquantes", "Pourquoi")
    return section(
        "Les besoins sans réponse",
        _say_more(len(facts.unserved)),
        table("Besoins que ce tour ne sert pas, ou pas en entier", headings, rows, numbers=[2]),
        name="sans-reponse",
    )


def _list_choices(facts: PageFacts) -> str:
    if not facts.choices:
        return ""
    kinds = {"pin": "imposée", "exclude": "écartée"}
    rows = [
        (kinds[one.kind], str(one.need_id), str(one.offer_id), one.reason, f"{one.chosen_at:%d/%m/%Y}") for one in facts.choices
    ]
    headings = ("Paire", "Besoin", "Offre", "Motif", "Le")
    return section("Les choix des personnes", table("Paires imposées ou écartées", headings, rows), name="choix")


def _say_more(rows: int) -> str:
    if rows <= ROWS_SHOWN:
        return ""
    return f"<p>Les {ROWS_SHOWN} premières lignes sur {rows} ; l'interface de la plateforme les donne toutes.</p>"


def _say_law(facts: PageFacts) -> str:
    told = explain(facts.inputs.surroundings.weights)
    rules = "".join(f"<li>{escape(rule)}</li>" for rule in told.rules)
    data = "".join(f"<li>{escape(one)}</li>" for one in told.data)
    digests = "<dl>" + _pair("Empreinte des données", facts.round.inputs_digest or "—")
    digests += _pair("Empreinte des propositions", facts.round.proposals_digest or "—") + "</dl>"
    return section(
        "La part de l'algorithme",
        notice(told.notice, told.contribution),
        f"<p>{escape(told.purpose)} {escape(_TOGETHER)}</p><h3>Règles</h3><ul>{rules}</ul><h3>Données</h3><ul>{data}</ul>",
        f"<p>{escape(told.ask_a_person)}</p><p>{escape(told.law)}</p>",
        f"<p>Ce tour se recalcule à l'identique : <code>metis round replay {facts.round.id}</code>.</p>{digests}",
        name="algorithme",
    )


def _percent(share: float, *, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %".replace(".", ",")
