"""Holding roles at lock events until all are where it hurts, and letting them go on in order."""
