"""Every query of matching. Rows become the domain's values; row-level security adds the territory.

Locks are always taken in this order, so that no two transactions wait for each other: proposing (one at a time in a
territory), round, campaign, need, offer, mission.
"""
