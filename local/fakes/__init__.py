"""Fakes of Microsoft Graph and Acumatica over real HTTP: they hold state, enforce rules, throttle, and fail on demand."""

from local.fakes.acumatica import FakeAcumatica, Session
from local.fakes.faults import Fault, Faults
from local.fakes.graph import FakeGraph, Invitation
from local.fakes.server import Call

__all__ = ["Call", "FakeAcumatica", "FakeGraph", "Fault", "Faults", "Invitation", "Session"]
