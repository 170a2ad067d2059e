"""Errors as answers: RFC 9457 problem+json, rendered here and nowhere else."""

import logging
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from opentelemetry import trace
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from kernel.database import is_passing
from kernel.errors import BadInput, FieldError, MetisError, Unavailable

log = logging.getLogger("metis.problems")
MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "https://metis.example/problems/"

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "Stable name of the problem; compare this, not the text."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong here, and what would help."},
        "trace": {"type": "string", "description": "Trace id to quote when asking for help."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer to the faulty field."},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


def problem_body(error: MetisError) -> bytes:
    content: dict[str, Any] = {
        "type": TYPE_BASE + error.code,
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        **error.members,
    }
    if error.fields:
        content["errors"] = [{"pointer": field.pointer, "detail": field.detail} for field in error.fields]
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        content["trace"] = f"{context.trace_id:032x}"
    return orjson.dumps(content, default=str)


def problem_response(error: MetisError) -> Response:
    return Response(problem_body(error), status_code=error.status, media_type=MEDIA_TYPE, headers=error.headers)


async def on_metis_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, MetisError)
    log.info("refused: %s", error.detail, extra={"facts": {"code": error.code, "status": error.status}})
    return problem_response(error)


async def on_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fields = [FieldError(_pointer(item["loc"]), item["msg"]) for item in error.errors()]
    detail = "; ".join(f"{field.pointer}: {field.detail}" for field in fields)
    return problem_response(BadInput(detail, fields=fields))


def _pointer(location: tuple[int | str, ...]) -> str:
    # FastAPI begins with where the value stood; a body's pointer is relative to the body (RFC 6901).
    where, *rest = location or ("body",)
    path = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in rest)
    return path or "/" if where == "body" else f"{where}{path}"


async def on_http_exception(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    problem = MetisError(str(error.detail), headers=dict(error.headers or {}))
    problem.status, problem.code, problem.title = error.status_code, f"http-{error.status_code}", str(error.detail)  # type: ignore[misc]
    return problem_response(problem)


_HANDLERS = {MetisError: on_metis_error, RequestValidationError: on_validation_error, HTTPException: on_http_exception}
EXPECTED: tuple[type[Exception], ...] = tuple(_HANDLERS)


async def on_surprise(_: Request, error: Exception) -> Response:
    """Of what nobody expected; a route answers it itself. Starlette would do so in its outermost layer, which knows the trace
    no more, and raise it again, so that the server logs it a second time."""
    if is_passing(error):
        log.warning("the database is away or busy: %r", error)
        again = "The database is away or busy; nothing was changed. Try again."
        return problem_response(Unavailable(again, headers={"retry-after": "2"}))
    log.error("a request failed", exc_info=error)
    return problem_response(MetisError("The fault is ours and is logged; try again, or quote the trace id."))


def install_problem_handlers(app: FastAPI) -> None:
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.add_exception_handler(Exception, on_surprise)
