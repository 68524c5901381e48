"""The conformance suite's plug-in, which pytest loads from the top conftest.py only."""

pytest_plugins = ["cloudkit.conformance"]
