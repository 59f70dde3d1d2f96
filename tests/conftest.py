"""Fixtures that all tests share."""

from collections.abc import Iterator

import pytest

from seqgen.verify import Pool


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    """The workers, started once."""
    with Pool() as workers:
        yield workers
