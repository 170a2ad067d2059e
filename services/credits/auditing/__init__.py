"""The auditor: recomputes the ledger from its transfers, by SQL of its own, on a connection that can only read.

It imports nothing of what writes (an import rule holds that); what it must know of the rules it says again.
"""
