"""French text understood: one spelling, stems, shared words, shared meaning. Pure Python and numpy; nothing of a database.

`words` (tidy, normalise, tokenise, stem); `lexical` (LexicalIndex: shared stems and letters), `coverage` (CoverageIndex: near
words), `encoder` (SentenceModel: a text as a vector) and `meaning` (MeaningSpace, MeaningIndex); `retriever` puts all
together. Import from the modules.
"""
