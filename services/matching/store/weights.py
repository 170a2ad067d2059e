"""A territory's weights as rows: a version is added, none is ever changed."""

from dataclasses import asdict
from typing import Any

from sqlalchemy import Row, insert, select

from kernel.errors import NotFound
from kernel.work import Work
from services.matching.domain.weights import DEFAULT_WEIGHTS, Weights, WeightsVersion
from services.matching.tables import weights


async def get_weights(work: Work) -> WeightsVersion:
    """Those in force: the newest version, or the defaults where the territory has set none."""
    row = (await work.connection.execute(select(weights).order_by(weights.c.version.desc()).limit(1))).first()
    return _version_from(row) if row else WeightsVersion()


async def get_weights_version(work: Work, version: int) -> WeightsVersion:
    """Raises NotFound for a version that was never set; 0 are the software's defaults."""
    if version == 0:
        return WeightsVersion()
    row = (await work.connection.execute(select(weights).where(weights.c.version == version))).first()
    if row is None:
        raise NotFound(f"There is no version {version} of the weights here.")
    return _version_from(row)


async def list_weights(work: Work) -> list[WeightsVersion]:
    """All versions, newest first; the last are the defaults."""
    rows = await work.connection.execute(select(weights).order_by(weights.c.version.desc()))
    return [*(_version_from(row) for row in rows), WeightsVersion()]


async def read_weights(work: Work, version: int | None) -> Weights | None:
    """Those of a mission; none for a mission of before weights had versions."""
    if not version:
        return None if version is None else DEFAULT_WEIGHTS
    row = (await work.connection.execute(select(weights).where(weights.c.version == version))).one()
    return _version_from(row).weights


async def insert_weights(work: Work, saved: WeightsVersion) -> None:
    facts = asdict(saved)
    await work.connection.execute(insert(weights), {"territory": work.territory, **facts, "values": facts.pop("weights")})


def _version_from(row: Row[Any]) -> WeightsVersion:
    # A name that a later release has added takes its default for versions of before.
    return WeightsVersion(row.version, Weights(**row._mapping["values"]), row.set_at, row.set_by, row.reason)
