"""Fixtures that pytest offers wherever `vmloom-core` is installed. Imports nothing before a test asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from vmloom.factory import VmFactory

# Failures of the kit's tests show the values compared, as those of an author's own tests do.
pytest.register_assert_rewrite("vmloom.testing.conformance")


@pytest.fixture(scope="session")
def vm_factory() -> VmFactory:
    """A factory with default settings that raises at the first plugin that cannot be used."""
    from vmloom.factory import VmFactory
    from vmloom.settings import Settings

    return VmFactory(Settings({"plugins": {"strict": True}}))
