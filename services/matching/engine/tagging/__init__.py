"""From a text to skills: which of the referential's a need asks for or an offer gives, with the words that say so.

`phrases` (what the referential says of each skill, labelled) → `features` (a text's stems and letters) → `lexical` and `meaning`
(two classifiers that know those phrases) → `profile` (p(skill | text), all skills) → `suggestion` (three to five, with their
`evidence`) and `text_fit` (a need's profile against an offer's). `model` is what `build` trained, one file.
"""
