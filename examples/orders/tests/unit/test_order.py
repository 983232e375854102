import unittest

from orders.order import IllegalTransition, Invalid, Item, Status, parse_new_order, parse_status


def document(**changes) -> dict:
    return {"customer": "Ada", "items": [{"sku": "A-1", "quantity": 2}]} | changes


class NewOrderTest(unittest.TestCase):
    def test_a_good_document(self):
        order = parse_new_order(document(customer="  Ada "))
        self.assertEqual(order.customer, "Ada")
        self.assertEqual(order.items, (Item("A-1", 2),))

    def test_every_bad_document_names_its_field(self):
        many = [{"sku": f"S-{n}", "quantity": 1} for n in range(101)]
        cases = [
            (None, ""),
            ([], ""),
            ({}, "customer"),
            (document(customer=""), "customer"),
            (document(customer="   "), "customer"),
            (document(customer="x" * 201), "customer"),
            (document(customer="a\0b"), "customer"),
            (document(customer="\ud800"), "customer"),
            (document(customer=7), "customer"),
            (document(items=[]), "items"),
            (document(items=many), "items"),
            (document(items="A-1"), "items"),
            (document(items=["A-1"]), "items[0]"),
            (document(items=[{"sku": "a-1", "quantity": 1}]), "items[0].sku"),
            (document(items=[{"sku": "-A", "quantity": 1}]), "items[0].sku"),
            (document(items=[{"sku": "A\n", "quantity": 1}]), "items[0].sku"),
            (document(items=[{"sku": "A", "quantity": 0}]), "items[0].quantity"),
            (document(items=[{"sku": "A", "quantity": True}]), "items[0].quantity"),
            (document(items=[{"sku": "A", "quantity": 1.5}]), "items[0].quantity"),
            (document(items=[{"sku": "A", "quantity": 10_001}]), "items[0].quantity"),
            (document(items=[{"sku": "A", "quantity": 1}, {"sku": "A", "quantity": 2}]), "items"),
            (document(status="paid"), "status"),
        ]
        for body, field in cases:
            with self.subTest(body=body), self.assertRaises(Invalid) as caught:
                parse_new_order(body)
            self.assertIn(field, caught.exception.problems)

    def test_all_problems_are_told_at_once(self):
        with self.assertRaises(Invalid) as caught:
            parse_new_order({"customer": "", "items": [{"sku": "A", "quantity": 1}, {"sku": "", "quantity": -1}]})
        self.assertEqual(set(caught.exception.problems), {"customer", "items[1].sku", "items[1].quantity"})


class StatusTest(unittest.TestCase):
    def test_the_whole_table_of_transitions(self):
        allowed = {("placed", "paid"), ("placed", "cancelled"), ("paid", "shipped"), ("paid", "cancelled")}
        for current in Status:
            for wanted in Status:
                with self.subTest(current=current, wanted=wanted):
                    self.assertEqual(current.may_become(wanted), (current.value, wanted.value) in allowed)

    def test_a_refusal_says_what_would_be_possible(self):
        error = IllegalTransition(Status.PAID, Status.PLACED)
        self.assertEqual(str(error), "an order that is paid cannot become placed; it can become: cancelled, shipped")
        error = IllegalTransition(Status.SHIPPED, Status.PAID)
        self.assertEqual(str(error), "an order that is shipped cannot become paid; it cannot change any more")

    def test_parsing(self):
        self.assertIs(parse_status({"status": "paid"}), Status.PAID)
        for bad in [{}, {"status": "lost"}, {"status": None}, {"status": ["paid"]}, {"status": "paid", "by": "me"}, "paid"]:
            with self.subTest(bad=bad), self.assertRaises(Invalid):
                parse_status(bad)
