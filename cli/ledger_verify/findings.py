"""What was found, and how it is said."""

from dataclasses import asdict, dataclass, field
from typing import Any

LAST = 1 << 62


@dataclass(frozen=True)
class Finding:
    """One difference. `sequence` is the row's place in the ledger, `block` the block that sealed it."""

    kind: str
    block: int | None = None
    sequence: int | None = None
    table: str | None = None
    key: str | None = None
    columns: tuple[str, ...] = ()
    detail: str = ""
    expected: Any = None
    found: Any = None

    @property
    def order(self) -> tuple[int, int, int]:
        """First what was sealed first; the books' findings follow from the rows' and come after them."""
        sequence = LAST if self.sequence is None else self.sequence
        return (_WEIGHT.get(self.kind, 2), self.block or 0 if self.sequence is None else 0, sequence)

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value not in (None, "", ())}

    def text(self, language: str) -> str:
        words = _WORDS[language]
        parts = [words[self.kind]]
        if self.table:
            parts.append(words["row"].format(table=self.table, key=self.key))
        if self.sequence is not None:
            parts.append(words["sequence"].format(sequence=self.sequence))
        if self.block is not None:
            parts.append(words["block"].format(block=self.block))
        if self.columns:
            parts.append(words["columns"].format(columns=", ".join(self.columns)))
        if self.expected is not None or self.found is not None:
            parts.append(words["instead"].format(expected=self.expected, found=self.found))
        return ", ".join(parts) + (f" ({self.detail})" if self.detail else "")


# What lies in the chain comes before what is recomputed from it: an altered row has consequences, and is their cause.
_WEIGHT = {
    "unreadable": 0, "altered": 1, "missing": 1, "added": 1, "reordered": 1, "block-altered": 1, "block-forged": 1,
    "block-missing": 1, "truncated": 2, "head-missing": 2,
}  # fmt: skip

_WORDS = {
    "fr": {
        "unreadable": "Fichier illisible",
        "altered": "Ligne modifiée",
        "missing": "Ligne supprimée",
        "added": "Ligne ajoutée",
        "reordered": "Ligne déplacée",
        "block-altered": "Bloc modifié",
        "block-forged": "Bloc dont la signature est fausse",
        "block-missing": "Bloc manquant",
        "head-missing": "La tête publiée ne se trouve pas dans cet export : la fin a été coupée ou réécrite",
        "truncated": "L'export est incomplet : reprenez-le",
        "gap": "Il manque une écriture à un compte",
        "balance": "Solde qui ne suit pas des écritures",
        "bound": "Compte hors de ses bornes",
        "campaign": "Écriture qui n'appartient pas à la campagne de ses comptes",
        "sum": "Somme des comptes différente de zéro",
        "state": "Ligne courante qui ne suit pas du registre",
        "state-missing": "Ligne courante absente",
        "state-added": "Ligne courante que le registre ignore",
        "hold": "Réserve qui ne suit pas des écritures",
        "part": "Part de réserve qui ne suit pas des écritures",
        "lot": "Lot qui ne suit pas des écritures",
        "reversal": "Annulation de plus que l'écriture",
        "key": "Clé d'idempotence utilisée deux fois",
        "row": "{table} {key}",
        "sequence": "n° {sequence}",
        "block": "bloc {block}",
        "columns": "colonne {columns}",
        "instead": "attendu {expected}, trouvé {found}",
        "ok": "Rien n'a été modifié : {rows} lignes scellées en {blocks} blocs, {transfers} écritures recalculées.",
        "unsealed": "{rows} lignes récentes ne sont pas encore scellées.",
        "head": "Tête : bloc {number}, {hash}",
        "no_head": "Sans --head, une fin coupée ne se voit pas : comparez la tête ci-dessus à celle que vous avez reçue.",
        "bad": "{count} différences. La première :",
        "others": "Puis :",
        "progress": "{rows} lignes vérifiées…",
        "key_id": "Clé de signature : {keys}. Comparez-la à celle que la commune publie.",
        "nothing": "Rien n'est scellé dans cet export.",
    },
    "en": {
        "unreadable": "Unreadable file",
        "altered": "Altered row",
        "missing": "Missing row",
        "added": "Added row",
        "reordered": "Reordered row",
        "block-altered": "Altered block",
        "block-forged": "Block with a false signature",
        "block-missing": "Missing block",
        "head-missing": "The published head is not in this export: its tail was cut or rewritten",
        "truncated": "The export is incomplete: resume it",
        "gap": "An account lacks a transfer",
        "balance": "Balance that does not follow from the transfers",
        "bound": "Account past its bound",
        "campaign": "Transfer outside the campaign of its accounts",
        "sum": "Accounts that do not sum to zero",
        "state": "Current row that does not follow from the ledger",
        "state-missing": "Current row that is gone",
        "state-added": "Current row that the ledger does not know",
        "hold": "Hold that does not follow from the transfers",
        "part": "Part of a hold that does not follow from the transfers",
        "lot": "Lot that does not follow from the transfers",
        "reversal": "More reversed than was moved",
        "key": "Idempotency key used twice",
        "row": "{table} {key}",
        "sequence": "sequence {sequence}",
        "block": "block {block}",
        "columns": "column {columns}",
        "instead": "expected {expected}, found {found}",
        "ok": "Nothing was changed: {rows} sealed rows in {blocks} blocks, {transfers} transfers recomputed.",
        "unsealed": "{rows} recent rows are not sealed yet.",
        "head": "Head: block {number}, {hash}",
        "no_head": "Without --head a cut tail cannot be seen: compare the head above with the one you received.",
        "bad": "{count} differences. The first:",
        "others": "Then:",
        "progress": "{rows} rows checked…",
        "key_id": "Signing key: {keys}. Compare it with the one that the town publishes.",
        "nothing": "Nothing is sealed in this export.",
    },
}


def say(language: str, word: str, **facts: object) -> str:
    return _WORDS[language][word].format(**facts)


@dataclass
class Report:
    """What a verification comes to."""

    territory: str = ""
    blocks: int = 0
    rows: int = 0
    unsealed: int = 0
    transfers: int = 0
    head_number: int = 0
    head_hash: str = ""
    key_ids: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    head_given: bool = False

    @property
    def ok(self) -> bool:
        return not self.findings

    @property
    def first(self) -> Finding | None:
        """The first difference in the order of the ledger."""
        return self.findings[0] if self.findings else None

    def as_json(self) -> dict[str, Any]:
        ordered = [finding.as_json() for finding in self.findings]
        facts = {name: value for name, value in asdict(self).items() if name != "findings"}
        return {"ok": self.ok, **facts, "first": ordered[0] if ordered else None, "findings": ordered}
