"""The decisions, without I/O: no clock, no SDK, no network. tests/sync/test_pure.py holds that."""
