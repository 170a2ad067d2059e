"""French text understood: one spelling, stems, shared words, shared meaning. Pure Python and numpy; nothing of a database.

`words` (tidy, normalise, tokenise, stem) → `lexical` (LexicalIndex) and `encoder` (SentenceModel, MeaningSpace) →
`retriever` (rank texts of a corpus by their nearness to a question). Import from the modules.
"""
