"""Lock programs as data, and the search through all their states. No thread is run here."""
