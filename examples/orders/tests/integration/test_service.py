"""The service as its clients see it, and what it leaves in the database."""

import json
import os
import threading
import unittest
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg2

SERVICE = urlsplit(os.environ["ORDERS_URL"])
FIXTURES = json.loads(Path("/fixtures/orders.json").read_text(encoding="utf-8"))


def ask(method: str, path: str, body: object = None) -> tuple[int, dict]:
    connection = HTTPConnection(SERVICE.hostname, SERVICE.port, timeout=10)
    try:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def rows(sql: str, *values: object) -> list[tuple]:
    connection = psycopg2.connect(os.environ["DATABASE_URL"])
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall()
    finally:
        connection.close()


class ServiceTest(unittest.TestCase):
    def test_it_is_healthy_and_tells_the_version_it_was_built_with(self):
        self.assertEqual(ask("GET", "/health"), (200, {"status": "ok"}))
        self.assertEqual(ask("GET", "/version"), (200, {"version": "under-test"}))

    def test_the_schema_has_every_migration(self):
        files = sorted(path.name for path in Path("orders/migrations").glob("*.sql"))
        self.assertEqual([name for (name,) in rows("SELECT name FROM schema_migrations ORDER BY name")], files)

    def test_an_order_is_kept_as_it_was_sent(self):
        for fixture in FIXTURES:
            with self.subTest(customer=fixture["customer"]):
                status, created = ask("POST", "/orders", fixture)
                self.assertEqual(status, 201)
                self.assertEqual({key: created[key] for key in fixture}, fixture)
                self.assertEqual(ask("GET", f"/orders/{created['id']}"), (200, created))
                stored = rows("SELECT customer, status FROM orders WHERE id = %s", created["id"])
                self.assertEqual(stored, [(fixture["customer"], "placed")])
                items = rows("SELECT sku, quantity FROM order_items WHERE order_id = %s ORDER BY position", created["id"])
                self.assertEqual(items, [(item["sku"], item["quantity"]) for item in fixture["items"]])

    def test_the_newest_orders_come_first(self):
        ids = [ask("POST", "/orders", FIXTURES[0])[1]["id"] for _ in range(3)]
        listed = [order["id"] for order in ask("GET", "/orders?limit=3")[1]["orders"]]
        self.assertEqual(listed, ids[::-1])

    def test_a_refused_order_leaves_nothing(self):
        before = rows("SELECT count(*) FROM orders")
        self.assertEqual(ask("POST", "/orders", {"customer": "Ada", "items": []})[0], 422)
        self.assertEqual(rows("SELECT count(*) FROM orders"), before)

    def test_an_order_goes_its_way_and_no_other(self):
        path = f"/orders/{ask('POST', '/orders', FIXTURES[0])[1]['id']}"
        self.assertEqual(ask("PUT", f"{path}/status", {"status": "shipped"})[0], 409)
        self.assertEqual(ask("PUT", f"{path}/status", {"status": "paid"})[0], 200)
        # Sent twice, done once.
        self.assertEqual(ask("PUT", f"{path}/status", {"status": "paid"})[0], 200)
        self.assertEqual(ask("PUT", f"{path}/status", {"status": "shipped"})[0], 200)
        self.assertEqual(ask("PUT", f"{path}/status", {"status": "cancelled"})[0], 409)
        self.assertEqual(ask("GET", path)[1]["status"], "shipped")

    def test_of_two_that_ask_at_once_one_wins(self):
        path = f"/orders/{ask('POST', '/orders', FIXTURES[1])[1]['id']}"
        ask("PUT", f"{path}/status", {"status": "paid"})
        answers: list[int] = []

        def move(status: str) -> None:
            answers.append(ask("PUT", f"{path}/status", {"status": status})[0])

        threads = [threading.Thread(target=move, args=(status,)) for status in ("shipped", "cancelled")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(answers), [200, 409])

    def test_more_clients_than_database_connections_are_all_served(self):
        answers: list[int] = []

        def place() -> None:
            answers.append(ask("POST", "/orders", FIXTURES[2])[0])

        threads = [threading.Thread(target=place) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(answers, [201] * 40)

    def test_an_unknown_order_is_not_found(self):
        self.assertEqual(ask("GET", f"/orders/{uuid4()}")[0], 404)
