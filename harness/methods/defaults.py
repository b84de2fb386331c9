"""What a call does where nobody says otherwise. A command line knows it before it loads a call."""

TIMEOUT = 5.0    # seconds
DETECT = ("block", "timeout")    # the first is the default
