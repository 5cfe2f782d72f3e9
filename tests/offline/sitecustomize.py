"""Python imports a module of this name when it starts: the commands that the tests run have no network either."""

import network_block  # noqa: F401
