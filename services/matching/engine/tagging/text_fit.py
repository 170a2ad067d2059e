"""How well an offer's text fits a need's, before any gate: what the one is likely to give against what the other is likely to
ask, with skills that stand near each other counted for their share."""

from collections.abc import Sequence

import numpy as np

from services.matching.engine.referential import Referential
from services.matching.engine.tagging.profile import Reading, Scores

_NEAR, _SIBLING = 0.4, 0.03
_FLOOR, _DIRECT = 0.02, 2.0


def measure_nearness(referential: Referential, codes: Sequence[str]) -> Scores:
    """(skills, skills): 1 on the diagonal; the referential's nearness discounted; a little for skills of one group."""
    place = {code: number for number, code in enumerate(codes)}
    parents = np.array([skill.parent if (skill := referential.skills.get(code)) else code for code in codes])
    nearness = np.where(parents[:, None] == parents[None, :], np.float32(_SIBLING), np.float32(0))
    for code, near in referential.near_percents.items():
        for other, percent in near.items():
            if code in place and other in place:
                nearness[place[code], place[other]] = max(_SIBLING, _NEAR * percent / 100)
    np.fill_diagonal(nearness, 1.0)
    return np.asarray(nearness, dtype=np.float32)


def measure_text_fit(needs: Sequence[Reading], offers: Sequence[Reading], nearness: Scores) -> Scores:
    """(needs, offers): the higher, the better; comparable within a need.

    The probability that what is given is what is asked, as a logarithm, and a little for texts that mean the same directly:
    it tells apart offers of one skill.
    """
    if not needs or not offers:
        return np.zeros((len(needs), len(offers)), dtype=np.float32)
    asked = np.stack([reading.shares for reading in needs])
    given = np.stack([reading.shares for reading in offers])
    fit = np.log(asked @ nearness @ given.T + _FLOOR)
    spaces = len(needs[0].placed)
    for space in range(spaces):
        points = np.stack([reading.placed[space] for reading in offers])
        fit += _DIRECT / spaces * (np.stack([reading.placed[space] for reading in needs]) @ points.T)
    return np.asarray(fit, dtype=np.float32)
