"""Error answers that all HTTP APIs share: 4xx with the reason for values that cannot be used, 503 for outages."""

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response

from synthbench.chassis.errors import Transient, one_line
from synthbench.contracts.text import line, name
from synthbench.storage.pages import BadCursor

_BAD_REQUEST, _UNPROCESSABLE, _UNAVAILABLE = 400, 422, 503


def answer_refusals(app: FastAPI) -> None:
    """Register handlers for bad cursors, values beyond what Postgres holds, invalid requests and outages."""
    app.add_exception_handler(BadCursor, _bad_request)
    app.add_exception_handler(psycopg.DataError, _beyond_column)
    app.add_exception_handler(Transient, _unavailable)
    app.add_exception_handler(RequestValidationError, _invalid)


def _bad_request(_request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": line(str(error))}, _BAD_REQUEST)


def _beyond_column(_request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": f"a value cannot be looked up: {line(one_line(error))}"}, _BAD_REQUEST)


def _unavailable(_request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": line(str(error))}, _UNAVAILABLE, {"Retry-After": "5"})


def _invalid(_request: Request, error: Exception) -> Response:
    """Answer without the value itself: it may be a number or a text that JSON cannot hold."""
    assert isinstance(error, RequestValidationError)
    problems = [
        {
            "type": one["type"],
            "loc": [part if isinstance(part, int) else name(str(part)) for part in one["loc"]],
            "msg": line(one["msg"]),
        }
        for one in error.errors()
    ]
    return JSONResponse({"detail": problems}, _UNPROCESSABLE)
