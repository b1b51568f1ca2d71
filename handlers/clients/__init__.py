"""Adapters: requests out, answers in; what they mean is decided in handlers.sync."""
