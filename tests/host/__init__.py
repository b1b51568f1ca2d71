"""Tests of the local host: it has to do what the host in Azure does."""
