"""Checks an exported ledger offline (`metis ledger verify`), trusting nobody: neither the database nor the services.

It imports the standard library and `cryptography`, and no line of what writes the ledger (an import rule holds that), so
that a fault there cannot hide here. What it checks against is described in docs/adr/0016; another program could be
written from that page alone. It runs by itself, too: `python -m cli.ledger_verify BUNDLE`.
"""
