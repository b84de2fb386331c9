"""Speed as ratios and rates measured within one run, against the goals of the design; nothing here
is a test.
"""
