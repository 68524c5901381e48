"""What the bed plugs into the services where they would need hardware. Found by PYTHONPATH."""
