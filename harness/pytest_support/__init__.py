"""What the pytest plugin calls: the fixture, and the watching of a test by itself."""
