"""A campaign's allocation round: from needs, offers and what limits them to proposals that can be computed again.

- `inputs`: all that decides a round, as canonical bytes with their digest. Nothing heavy is imported for it.
- `pairs`: which offers can serve which needs, with how many points (gates and score of the engine).
- `compute`: the round itself, by `engine.allocation`. It imports numpy and the solvers: never import it into a service.
- `greedy`: what serving the best pairs first would give, to compare with.
- `faults`: why a round cannot be computed, in French, for the officer.
"""
