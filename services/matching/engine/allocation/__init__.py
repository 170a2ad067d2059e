"""The allocation round: missions proposed for everything open, together.

    company -> volunteer -> need -> association's credit, in minutes

- `allocate(RoundInput, RoundParameters) -> RoundResult` (`rounds`): an exact min-cost flow where needs can be cut, HiGHS
  for small rounds of whole needs, flow and repair for large ones; fairness by one slider, its price stated.
- `build_round_input` (`model`): the tables from rows. `fairness_table` (`fairness`): the price at several sliders.
- `candidates`: which pairs enter a round of a whole region. A campaign scores its pairs with the engine's own score.
- `faults`: what it refuses, with the cure.
"""
