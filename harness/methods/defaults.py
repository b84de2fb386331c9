"""What a call does where nobody says otherwise: a command line knows it before it imports a call."""

TIMEOUT = 5.0    # seconds
DETECT = ("block", "timeout")    # the first is the default
