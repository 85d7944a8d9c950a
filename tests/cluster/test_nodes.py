from datetime import datetime

import pytest

from cluster import nodes
from cluster.models import Node
from tests.factories import make_node

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("pi-4", "pi-4"),
        ("a/../b\n", "a-..-b"),
        ("<b>", "b"),
        ("///", "node"),
        ("étagère", "étagère"),
    ],
)
def test_a_nodes_own_name_is_made_fit_for_a_url(now: datetime, said: str, kept: str) -> None:
    node = nodes.seen("127.0.0.9", said, 2, "Linux", "4.15.2", True, {}, now)
    assert node.name == kept


def test_two_nodes_of_one_name_are_told_apart(now: datetime) -> None:
    make_node("pi")
    assert nodes.seen("127.0.0.9", "pi", 2, "Linux", "4.15.2", True, {}, now).name == "pi-2"


def test_a_node_that_comes_back_keeps_its_name_slots_and_drain(now: datetime) -> None:
    nodes.seen("127.0.0.9", "pi", 4, "Linux", "4.15.2", True, {}, now)
    Node.objects.update(name="renamed", slots=2)
    nodes.drain(Node.objects.all(), "dust")
    nodes.gone("127.0.0.9", "no pulse", now)
    node = nodes.seen("127.0.0.9", "pi", 4, "Linux", "4.15.2", True, {}, now)
    assert (node.name, node.slots, nodes.state(node, 1), node.trouble) == ("renamed", 2, "draining", "")
