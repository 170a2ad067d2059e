"""What the registry decides, without a database: `identifiers` (which numbers hold), `records` (actors and members),
`clients` (who may sign in, and what for). Pure functions and frozen dataclasses.
"""
