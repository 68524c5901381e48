pytest_plugins = ["cloudkit.conformance"]
