"""The names of the policies of reader/writer locks: a command line lists them, and loads no lock.
What each of them means is in rwsem_policy.py.
"""

POLICIES = ("writer", "fair", "reader")
