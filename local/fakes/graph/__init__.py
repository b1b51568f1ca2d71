"""The fake of Microsoft Graph."""

from local.fakes.graph.fake import FakeGraph
from local.fakes.graph.outlook import Invitation
from local.fakes.graph.switches import GraphSwitches

__all__ = ["FakeGraph", "GraphSwitches", "Invitation"]
