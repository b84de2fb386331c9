"""What the suite itself is held to."""


def test_names_of_tests_are_the_same_in_every_process(request):
    """Runs shared among processes compare them: no address of an object is part of one."""
    assert [item.nodeid for item in request.session.items if " at 0x" in item.nodeid] == []
