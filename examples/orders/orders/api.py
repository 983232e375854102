"""The HTTP interface: JSON in, JSON out, and a status code that says whose fault it was."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from .order import IllegalTransition, Invalid, NotFound, Unavailable, parse_new_order, parse_status

if TYPE_CHECKING:
    from .store import OrderStore

MAX_BODY_BYTES = 64 * 1024
DEFAULT_LIST, MAX_LIST = 20, 100

log = logging.getLogger("orders")


class Server(ThreadingHTTPServer):
    # Open requests are waited for when the service stops.
    daemon_threads = False
    # With the default of 5, clients that arrive together are refused.
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], store: OrderStore, version: str):
        self.store = store
        self.version = version
        super().__init__(address, Handler)


@dataclass(frozen=True)
class Reply:
    status: HTTPStatus
    document: object
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """The request is answered with `reply` without being carried out."""

    def __init__(self, status: HTTPStatus, error: str, headers: dict[str, str] | None = None):
        super().__init__(error)
        self.reply = Reply(status, {"error": error}, headers or {})


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    # Seconds a silent client may hold its thread; also the longest that stopping waits for an idle connection.
    timeout = 5

    def health(self) -> Reply:
        self.server.store.ping()
        return Reply(HTTPStatus.OK, {"status": "ok"})

    def version(self) -> Reply:
        return Reply(HTTPStatus.OK, {"version": self.server.version})

    def create_order(self) -> Reply:
        order = self.server.store.create(parse_new_order(self.body()))
        return Reply(HTTPStatus.CREATED, order.to_json(), {"Location": f"/orders/{order.id}"})

    def list_orders(self) -> Reply:
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        unknown = sorted(set(query) - {"status", "limit"})
        if unknown:
            raise Invalid({name: "unknown parameter" for name in unknown})
        status = parse_status({"status": query["status"][-1]}) if "status" in query else None
        limit = query.get("limit", [str(DEFAULT_LIST)])[-1]
        if not re.fullmatch(r"[0-9]{1,3}", limit) or not 0 < int(limit) <= MAX_LIST:
            raise Invalid({"limit": f"expected a number from 1 to {MAX_LIST}"})
        orders = self.server.store.list(status, int(limit))
        return Reply(HTTPStatus.OK, {"orders": [order.to_json() for order in orders]})

    def get_order(self, order_id: str) -> Reply:
        return Reply(HTTPStatus.OK, self.server.store.get(UUID(order_id)).to_json())

    def set_status(self, order_id: str) -> Reply:
        wanted = parse_status(self.body())
        return Reply(HTTPStatus.OK, self.server.store.set_status(UUID(order_id), wanted).to_json())

    _ID = "([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
    ROUTES = (
        (re.compile("/health"), {"GET": health}),
        (re.compile("/version"), {"GET": version}),
        (re.compile("/orders"), {"GET": list_orders, "POST": create_order}),
        (re.compile(f"/orders/{_ID}"), {"GET": get_order}),
        (re.compile(f"/orders/{_ID}/status"), {"PUT": set_status}),
    )

    def answer(self) -> None:
        self.body_read = False
        try:
            self.send(self.outcome())
        except (ConnectionError, TimeoutError):
            # The client is gone or silent; there is nobody to answer.
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer

    def outcome(self) -> Reply:
        try:
            return self.dispatch()
        except Refused as error:
            return error.reply
        except Invalid as error:
            return Reply(HTTPStatus.UNPROCESSABLE_ENTITY, {"error": error.problems})
        except NotFound:
            return Reply(HTTPStatus.NOT_FOUND, {"error": "there is no such order"})
        except IllegalTransition as error:
            return Reply(HTTPStatus.CONFLICT, {"error": str(error)})
        except Unavailable as error:
            log.error("%s %s: database: %s", self.command, self.path, error)
            document = {"error": "the database is not available"}
            return Reply(HTTPStatus.SERVICE_UNAVAILABLE, document, {"Retry-After": "1"})
        except (ConnectionError, TimeoutError):
            raise
        except Exception:
            log.exception("%s %s", self.command, self.path)
            return Reply(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "internal error"})

    def dispatch(self) -> Reply:
        path = urlsplit(self.path).path
        for pattern, methods in self.ROUTES:
            if match := pattern.fullmatch(path):
                if self.command not in methods:
                    allowed = {"Allow": ", ".join(sorted(methods))}
                    raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"{self.command} is not possible here", allowed)
                return methods[self.command](self, *match.groups())
        raise Refused(HTTPStatus.NOT_FOUND, "there is nothing at this address")

    def body(self) -> object:
        """The request's JSON document."""
        if self.headers.get_content_type() != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected Content-Type: application/json")
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,10}", length):
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "expected a Content-Length")
        if int(length) > MAX_BODY_BYTES:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {MAX_BODY_BYTES} bytes")
        text = self.rfile.read(int(length))
        self.body_read = True
        try:
            return json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise Refused(HTTPStatus.BAD_REQUEST, f"not a JSON document: {error}") from None

    def send(self, reply: Reply) -> None:
        body = json.dumps(reply.document).encode() + b"\n"
        # What is left of an unread body would be taken for the next request.
        has_body = self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers
        if has_body and not self.body_read:
            self.close_connection = True
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        # Asked every few seconds, a healthy answer says nothing new.
        if self.path != "/health" or code != HTTPStatus.OK:
            log.info("%s %s %s", self.command, self.path, int(code))

    def log_message(self, format: str, *args: object) -> None:  # the parameter's name is the base class's
        log.warning(format, *args)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
