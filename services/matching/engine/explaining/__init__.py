"""Why this, why not, and what would have to change; the record that the law gives. Pure, as all of the engine."""
