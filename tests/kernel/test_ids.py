"""Time-ordered identifiers."""

import time
from concurrent.futures import ThreadPoolExecutor

from kernel.ids import new_id


class TestNewId:
    def test_each_is_greater_than_the_one_before(self) -> None:
        ids = [new_id() for _ in range(20_000)]
        assert ids == sorted(set(ids))

    def test_none_is_made_twice_by_threads(self) -> None:
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda _: new_id(), range(8_000)))
        assert len(set(made)) == len(made)

    def test_is_a_version_7_uuid_of_this_moment(self) -> None:
        before = time.time_ns() // 1_000_000
        made = new_id()
        assert (made.version, made.variant) == (7, "specified in RFC 4122")
        assert before <= made.int >> 80 <= time.time_ns() // 1_000_000 + 1
