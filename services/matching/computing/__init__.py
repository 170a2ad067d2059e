"""Rounds are computed here, each in a process of its own, so that the service never holds what the solvers need.

- `supervisor`: in the service, by the clock: starts the process, shows its progress, ends it when it is not wanted.
- `__main__`: the process: reads the inputs, computes, keeps the outcome in one transaction, ends.
"""
