"""Plug-ins, which pytest loads from the top conftest.py only: the conformance suite's, and one for testing plug-ins."""

pytest_plugins = ["cloudkit.conformance", "pytester"]
