"""Plug-ins that pytest loads from the top conftest.py only: the conformance suite, and a tester of plug-ins."""

pytest_plugins = ["cloudkit.conformance", "pytester"]
