"""Sealing: rows of finished transactions become signed blocks, some time after they were written (docs/adr/0016)."""
