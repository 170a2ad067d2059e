"""Every query of matching. Rows become the domain's values; row-level security adds the territory.

Locks are always taken in this order, so that no two transactions wait for each other: the vocabulary, proposing (one at a
time each in a territory), round, campaign, need, offer, mission.
"""
