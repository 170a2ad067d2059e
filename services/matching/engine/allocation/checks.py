"""A round's tables, checked before anything is computed: every fault names the table, the row and the cure."""

from collections.abc import Sequence

import numpy as np

from services.matching.engine.allocation.faults import BadRoundInput
from services.matching.engine.allocation.model import (
    MAXIMUM_MINUTES,
    MAXIMUM_POINTS,
    NO_COMPANY,
    Ints,
    RoundInput,
    RoundParameters,
)


def check_parameters(parameters: RoundParameters) -> None:
    if not 0 <= parameters.fairness <= 1:
        raise BadRoundInput(f"fairness is {parameters.fairness}; give 0 (points alone) to 1 (the worst-served first)")
    if not 1 <= parameters.slices <= 100:
        raise BadRoundInput(f"slices is {parameters.slices}; give 1 to 100")
    if not 0 <= parameters.served_points <= MAXIMUM_POINTS:
        raise BadRoundInput(f"served_points is {parameters.served_points}; give 0 to {MAXIMUM_POINTS}")
    if not 0 < parameters.gap < 1:
        raise BadRoundInput(f"gap is {parameters.gap}; give a share between 0 and 1, such as 0.01")


def check_round_input(data: RoundInput) -> None:
    _check_columns(data)
    _check_amounts("company", "minutes", data.company_ids, data.company_minutes)
    _check_amounts("volunteer", "minutes", data.volunteer_ids, data.volunteer_minutes)
    _check_amounts("association", "credit", data.association_ids, data.association_credit)
    _check_amounts("association", "target", data.association_ids, data.association_target)
    _check_amounts("need", "minutes", data.need_ids, data.need_minutes, least=1)
    _check_amounts("need", "slice", data.need_ids, data.need_slice, least=1)
    _check_rows("volunteer", "company", data.volunteer_company, len(data.company_ids), least=NO_COMPANY)
    _check_rows("need", "association", data.need_association, len(data.association_ids))
    _check_rows("pair", "need", data.pair_need, len(data.need_ids))
    _check_rows("pair", "volunteer", data.pair_volunteer, len(data.volunteer_ids))
    if len(data.pair_points) and not 0 <= int(data.pair_points.min()) <= int(data.pair_points.max()) <= MAXIMUM_POINTS:
        raise BadRoundInput(f"pair points must be 0 to {MAXIMUM_POINTS}; leave out pairs that are not to be proposed")


def _check_columns(data: RoundInput) -> None:
    tables = {
        "company": (data.company_ids, data.company_minutes),
        "volunteer": (data.volunteer_ids, data.volunteer_minutes, data.volunteer_company),
        "association": (data.association_ids, data.association_credit, data.association_target),
        "need": (data.need_ids, data.need_association, data.need_minutes, data.need_slice),
        "pair": (data.pair_need, data.pair_volunteer, data.pair_points),
    }
    for table, columns in tables.items():
        lengths = {len(column) for column in columns}
        if len(lengths) != 1:
            raise BadRoundInput(f"columns of table {table} have {sorted(lengths)} rows; give all of them the same number")


def _check_amounts(table: str, column: str, ids: Sequence[str], amounts: Ints, *, least: int = 0) -> None:
    wrong = np.flatnonzero(amounts < least)
    if len(wrong):
        row = int(wrong[0])
        raise BadRoundInput(f"{table} {ids[row]!r} has {column} {int(amounts[row])}; give whole minutes, at least {least}")
    if int(amounts.sum(dtype=np.int64)) > MAXIMUM_MINUTES:
        raise BadRoundInput(f"{table} {column} add up to more than {MAXIMUM_MINUTES} minutes; split the round")


def _check_rows(table: str, column: str, rows: Ints, count: int, *, least: int = 0) -> None:
    wrong = np.flatnonzero((rows < least) | (rows >= count))
    if len(wrong):
        row = int(wrong[0])
        raise BadRoundInput(f"{table} row {row} names {column} row {int(rows[row])}, but there are {count} of them")
