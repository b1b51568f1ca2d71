"""The fake of Acumatica."""

from local.fakes.acumatica.fake import FakeAcumatica
from local.fakes.acumatica.sessions import Session
from local.fakes.acumatica.switches import AcumaticaSwitches

__all__ = ["AcumaticaSwitches", "FakeAcumatica", "Session"]
