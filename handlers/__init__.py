"""Acumatica push notifications → Outlook calendar events → event ids back in Acumatica."""

__version__ = "0.1.0"
