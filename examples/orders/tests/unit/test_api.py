"""The HTTP side alone: a real server on a free port, over orders kept in memory."""

import json
import logging
import threading
import unittest
from dataclasses import replace
from datetime import datetime, timezone
from http.client import HTTPConnection
from uuid import UUID, uuid4

from orders.api import Server
from orders.order import IllegalTransition, NotFound, Order, Status, Unavailable


class MemoryStore:
    def __init__(self):
        self.orders: dict[UUID, Order] = {}
        self.failure: Exception | None = None

    def ping(self):
        if self.failure:
            raise self.failure

    def create(self, new):
        order = Order(uuid4(), new.customer, new.items, Status.PLACED, datetime.now(timezone.utc))
        self.orders[order.id] = order
        return order

    def get(self, order_id):
        if order_id not in self.orders:
            raise NotFound(order_id)
        return self.orders[order_id]

    def list(self, status, limit):
        return [order for order in self.orders.values() if status in (None, order.status)][:limit]

    def set_status(self, order_id, wanted):
        order = self.get(order_id)
        if not order.status.may_become(wanted):
            raise IllegalTransition(order.status, wanted)
        self.orders[order_id] = replace(order, status=wanted)
        return self.orders[order_id]


class ApiTest(unittest.TestCase):
    def setUp(self):
        logging.getLogger("orders").setLevel(logging.CRITICAL)
        self.store = MemoryStore()
        self.server = Server(("127.0.0.1", 0), self.store, "v7")
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.client = HTTPConnection(*self.server.server_address, timeout=5)
        self.addCleanup(self.server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(self.server.shutdown)
        self.addCleanup(self.client.close)

    def ask(self, method, path, body=None, headers=None):
        headers = {"Content-Type": "application/json"} if headers is None else headers
        text = body if isinstance(body, (bytes, type(None))) else json.dumps(body)
        self.client.request(method, path, text, headers)
        response = self.client.getresponse()
        return response.status, json.loads(response.read()), response.headers

    def test_version(self):
        self.assertEqual(self.ask("GET", "/version")[:2], (200, {"version": "v7"}))

    def test_health_follows_the_store(self):
        self.assertEqual(self.ask("GET", "/health")[:2], (200, {"status": "ok"}))
        self.store.failure = Unavailable("gone")
        status, document, headers = self.ask("GET", "/health")
        self.assertEqual((status, headers["Retry-After"]), (503, "1"))
        self.assertEqual(document, {"error": "the database is not available"})

    def test_a_bug_is_a_500_without_its_text(self):
        self.store.failure = RuntimeError("secret detail")
        self.assertEqual(self.ask("GET", "/health")[:2], (500, {"error": "internal error"}))

    def test_place_read_and_move_an_order(self):
        order = {"customer": "Ada", "items": [{"sku": "A", "quantity": 1}]}
        status, created, headers = self.ask("POST", "/orders", order)
        self.assertEqual(status, 201)
        self.assertEqual(created["status"], "placed")
        self.assertEqual(self.ask("GET", headers["Location"])[:2], (200, created))

        path = headers["Location"] + "/status"
        self.assertEqual(self.ask("PUT", path, {"status": "paid"})[1]["status"], "paid")
        status, document, _ = self.ask("PUT", path, {"status": "placed"})
        self.assertEqual(status, 409)
        self.assertIn("cannot become placed", document["error"])

        self.assertEqual(len(self.ask("GET", "/orders?status=paid")[1]["orders"]), 1)
        self.assertEqual(self.ask("GET", "/orders?status=placed")[1], {"orders": []})

    def test_refusals(self):
        unknown = f"/orders/{uuid4()}"
        cases = [
            (404, "GET", "/", None, None),
            (404, "GET", "/orders/7", None, None),
            (404, "GET", unknown, None, None),
            (404, "PUT", unknown + "/status", {"status": "paid"}, None),
            (405, "DELETE", "/orders", None, None),
            (405, "POST", "/health", {}, None),
            (415, "POST", "/orders", b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}),
            (400, "POST", "/orders", b"{", None),
            (400, "POST", "/orders", b"", None),
            (400, "POST", "/orders", b"\xff", None),
            (400, "POST", "/orders", b"NaN", None),
            (400, "POST", "/orders", b"[" * 60_000, None),
            (413, "POST", "/orders", b" " * 65_537, None),
            (422, "POST", "/orders", {}, None),
            (422, "GET", "/orders?limit=0", None, None),
            (422, "GET", "/orders?limit=101", None, None),
            (422, "GET", "/orders?limit=ten", None, None),
            (422, "GET", "/orders?status=lost", None, None),
            (422, "GET", "/orders?page=2", None, None),
        ]
        for expected, method, path, body, headers in cases:
            with self.subTest(method=method, path=path, body=str(body)[:20]):
                status, document, _ = self.ask(method, path, body, headers)
                self.assertEqual(status, expected)
                self.assertIn("error", document)

    def test_a_refused_body_is_not_taken_for_the_next_request(self):
        status, _, headers = self.ask("POST", "/nowhere", b"GET /version HTTP/1.1\r\n\r\n")
        self.assertEqual((status, headers["Connection"]), (404, "close"))
        self.assertEqual(self.ask("GET", "/health")[0], 200)

    def test_a_wrong_method_is_told_the_right_ones(self):
        self.assertEqual(self.ask("PUT", "/orders", {})[2]["Allow"], "GET, POST")
