"""What the routes share."""

from typing import Annotated

from fastapi import Path, Response

Ref = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        description="The town's own key: letters, digits, dots, dashes, underscores.",
    ),
]


def set_etag(response: Response, version: int) -> None:
    response.headers["ETag"] = f'"{version}"'
