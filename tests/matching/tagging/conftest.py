"""Profilers of the whole referential, made once: with the sentence models that are installed, and with words alone."""

import pytest

from services.matching.engine.referential import load_referential
from services.matching.engine.tagging.profile import Profiler
from services.matching.engine.tagging.suggestion import make_profiler
from services.matching.engine.text.encoder import find_sentence_model


@pytest.fixture(scope="session")
def by_words() -> Profiler:
    return make_profiler(load_referential(), sentences=False)


@pytest.fixture(scope="session")
def by_all() -> Profiler:
    if find_sentence_model("use") is None:
        pytest.skip("the `sentences` extra is not installed")
    return make_profiler(load_referential())
