"""A role that takes locks inside each other, which many small worlds are made of."""


def nested(*locks):
    """Return a role that takes each of *locks* while it holds those before."""
    def role():
        with locks[0]:
            if locks[1:]:
                nested(*locks[1:])()
    return role
