"""French text made comparable: spelling, words, stems.

Three steps, each usable alone: `tidy` keeps a text readable (for a sentence model), `normalise` leaves bare words,
`tokenise` leaves the words that mean something; `stem` reduces one of those to what its family shares.
"""

import re
import threading
import unicodedata
from functools import lru_cache

import snowballstemmer

from services.matching.engine.text.gender import in_one_gender, masculine_word, without_inclusive_marks

# Letters that Unicode does not decompose, and that French and its neighbours write both ways.
_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "ß": "ss"})
_SIGNS = str.maketrans(dict.fromkeys("’‘ʼ`´′", "'") | dict.fromkeys("‐‑‒–—−", "-") | dict.fromkeys("«»“”„", '"') | {"…": "..."})
_ELISION = re.compile(r"\b(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu|presqu)'(?=\w)")
# `+` and `#` are part of names ("C++", "C#"), a dot before letters too (".net"); every other sign only separates words.
_WORD = re.compile(r"[a-z0-9]+(?:[+#]+)?|(?<![\w.])\.net\b")
_QUALITY = re.compile(r"(?<=.(?:bil|.al|.iv|.ur|.ar|.os|.ic|.id|.in))ites?$")
_SPACES = re.compile(r"\s+")

# Words that carry no skill, without accents. “sans”, “pas” and “non” are not among them: they turn meanings round.
STOPWORDS = frozenset(
    """a afin ai ainsi alors apres as au aucun aussi autre autres aux avant avec avoir c car ce ceci cela celle celles celui
    ces cet cette ceux chaque chez comme comment d dans de des deja depuis dont du elle elles en encore entre es est et etc
    etait etant ete etre eu eux il ils j je l la le les leur leurs lors lui m ma mais me meme memes mes moi mon n ne ni nos
    notre nous on ont ou par parmi pendant peu peut plus plusieurs pour qu quand que quel quelle quelles quels qui quoi s sa
    se selon sera ses si soi soit sont sous sur t ta te tel telle tes toi ton tous tout toute toutes tres tu un une vers
    via voici voila vos votre vous y""".split()  # noqa: SIM905  (read as words, a line of them)
)

# What people write short, in full. One meaning each: an abbreviation with two (“com”, “info”) is left to its context.
ABBREVIATIONS = {
    "admin": "administratif",
    "asso": "association",
    "assos": "associations",
    "auxil": "auxiliaire",
    "btp": "batiment travaux publics",
    "cao": "conception assistee ordinateur",
    "compta": "comptabilite",
    "cv": "curriculum vitae",
    "dao": "dessin assiste ordinateur",
    "dir": "directeur",
    "ess": "economie sociale solidaire",
    "fle": "francais langue etrangere",
    "ing": "ingenieur",
    "info": "informatique",
    "infos": "informations",
    "maths": "mathematiques",
    "ordi": "ordinateur",
    "ordis": "ordinateurs",
    "pao": "publication assistee ordinateur",
    "pc": "ordinateur",
    "pub": "publicite",
    "rdv": "rendez vous",
    "resp": "responsable",
    "rgpd": "protection donnees personnelles",
    "rh": "ressources humaines",
    "rse": "responsabilite sociale entreprise",
    "secu": "securite",
    "tech": "technicien",
    "telecom": "telecommunications",
    "telecoms": "telecommunications",
    "tv": "television",
    "tva": "taxe valeur ajoutee",
}

_stemmers = threading.local()


def tidy(text: str) -> str:
    """The text as its author would write it with care: one kind of quotes and dashes, one gender, single spaces.

    Accents and case stay: a sentence model reads them.
    """
    plain = unicodedata.normalize("NFC", text).translate(_SIGNS)
    return _SPACES.sub(" ", in_one_gender(without_inclusive_marks(plain))).strip()


@lru_cache(maxsize=65536)
def normalise(text: str) -> str:
    """Lower-case words without accents, ligatures, elided articles and signs: “Chargé·e de l'accueil” is “charge de accueil”."""
    return " ".join(_WORD.findall(_ELISION.sub("", strip_accents(tidy(text)))))


def strip_accents(text: str) -> str:
    """Case-folded, without accents and ligatures."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).translate(_LIGATURES)


def tokenise(text: str) -> list[str]:
    """The words that mean something, in their order, abbreviations in full; all the words where none does."""
    words = [part for word in normalise(text).split() for part in ABBREVIATIONS.get(word, word).split()]
    return [word for word in words if word not in STOPWORDS] or words


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """What a word's family shares: gender, number and most derivations fall off.

    “enseigner”, “enseignante” and “enseignement” give “enseign”; “vendeuses” gives what “vendeur” does. Accents are
    dropped first, since half of what people type has none: the stemmer sees one spelling only. The Snowball stemmer for
    French does the rest (snowballstem.org/algorithms/french).
    """
    bare = strip_accents(word)
    # Without its accent, “-ité” is no suffix to the stemmer, but the end of “site”, “suite” and “visite”.
    bare = _QUALITY.sub("ité", bare)
    singular = bare[:-1] if len(bare) > 3 and bare.endswith("s") and not bare.endswith("ss") else bare
    return _stemmer().stemWord(masculine_word(singular)) or bare


def stems(text: str) -> list[str]:
    """The stems of a text's meaningful words, in their order."""
    return [stem(word) for word in tokenise(text)]


def _stemmer() -> "snowballstemmer.basestemmer.BaseStemmer":
    """One a thread: a Snowball stemmer keeps the word it works on in itself."""
    if not hasattr(_stemmers, "french"):
        _stemmers.french = snowballstemmer.stemmer("french")
    return _stemmers.french
