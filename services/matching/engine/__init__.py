"""Which offers fit which needs, and which to propose: pure functions.

In go needs and offers (`Need`, `Candidate`) with their `Surroundings`; out come proposals, each with its score, the parts
of it and its reasons, and for what does not fit why not. `assignment.propose` is the seam for a better assignment.
"""
