"""Compute a round again, here, from the inputs that the platform keeps, and say whether the same comes out."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cli.console import CliError


@dataclass(frozen=True)
class Replay:
    """What was found beside what is stored. `differences`: French sentences, empty when all is the same."""

    inputs_digest: str
    tables_digest: str
    proposals_digest: str
    solver: str
    proposals: int
    seconds: float
    differences: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        return not self.differences

    def as_json(self) -> dict[str, Any]:
        return {"same": self.is_same, **asdict(self)}


def replay(stored: Mapping[str, Any], inputs: bytes) -> Replay:
    """`stored`: the round as the API shows it. Raises CliError for inputs that this version cannot read."""
    from services.matching.engine.rounds.compute import compute_round
    from services.matching.engine.rounds.faults import InputsUnreadable, RoundCannotBe
    from services.matching.engine.rounds.inputs import decode_inputs, digest_bytes

    digest = digest_bytes(inputs)
    try:
        computed = compute_round(decode_inputs(inputs), compare=False)
    except (InputsUnreadable, RoundCannotBe) as error:
        raise CliError(str(error), cure="Prenez la version de metis avec laquelle le tour a été calculé.") from error
    facts, result = computed.facts, stored["result"]
    differences = []
    if digest != stored["inputs_digest"]:
        differences.append(
            f"les données d'entrée ne sont pas celles du tour : empreinte {digest} au lieu de {stored['inputs_digest']}"
        )
    if facts["solver"] != result["solver"]:
        differences.append(f"le solveur est « {facts['solver']} » ici, « {result['solver']} » pour le tour")
    if facts["tables_digest"] != result["tables_digest"]:
        differences.append(
            "les points ou les limites calculés des mêmes données diffèrent : les règles de cette version sont autres"
        )
    if computed.proposals_digest != stored["proposals_digest"]:
        differences.append(
            f"les propositions diffèrent : empreinte {computed.proposals_digest} au lieu de {stored['proposals_digest']}"
            + ("" if result["replayable"] else " (le calcul d'origine avait atteint sa limite de temps)")
        )
    return Replay(
        digest,
        facts["tables_digest"],
        computed.proposals_digest,
        facts["solver"],
        len(computed.proposals),
        round(sum(facts["seconds"].values()), 3),
        tuple(differences),
    )
