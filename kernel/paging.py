"""Lists by cursor (RFC 8288 `Link`): stable while rows are added, cheap at any depth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Depends, Query
from pydantic import BaseModel
from sqlalchemy import ColumnElement, Row, Select
from starlette.requests import Request
from starlette.responses import Response

from kernel.work import Work

T = TypeVar("T")


@dataclass(frozen=True)
class PageRequest:
    """Which part of a list is asked for: `limit` rows whose id comes after `after`."""

    limit: int
    after: UUID | None
    request: Request
    response: Response


async def _page_request(
    request: Request,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=200, description="Rows a page.")] = 50,
    cursor: Annotated[UUID | None, Query(description="`next` of the page before.")] = None,
) -> PageRequest:
    return PageRequest(limit, cursor, request, response)


OnePage = Annotated[PageRequest, Depends(_page_request)]


class Page(BaseModel, Generic[T]):
    """One page of a list, and the cursor of the next (null on the last page)."""

    items: list[T]
    next: UUID | None = None


async def fetch_page(
    work: Work, query: Select[Any], *, by: ColumnElement[UUID], page: PageRequest, shape: Callable[[Row[Any]], T]
) -> Page[T]:
    """Run `query` for one page, ordered by the time-ordered id `by`; sets the `Link` header when there is more."""
    if page.after is not None:
        query = query.where(by > page.after)
    rows: Sequence[Row[Any]] = (await work.connection.execute(query.order_by(by).limit(page.limit + 1))).all()
    shown = rows[: page.limit]
    following: UUID | None = None
    if len(rows) > page.limit:
        following = getattr(shown[-1], by.key) if by.key else shown[-1][0]
        url = page.request.url.include_query_params(cursor=str(following), limit=page.limit)
        page.response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return Page(items=[shape(row) for row in shown], next=following)
