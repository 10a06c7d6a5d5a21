"""Properties whose examples are dear: how many there are in the suite, and as many more as a profile wants for a night."""

from hypothesis import settings


def fewer(by, **more):
    """The settings of the profile in force (conftest.py) with so many times fewer examples."""
    return settings(max_examples=max(10, settings.default.max_examples // by), **more)
