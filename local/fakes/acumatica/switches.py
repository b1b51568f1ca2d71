"""What the facts about Acumatica leave open, and in which ways sites differ."""

from local.fakes.switches import Switches


class AcumaticaSwitches(Switches):
    """The ways in which a site of Acumatica may behave."""
