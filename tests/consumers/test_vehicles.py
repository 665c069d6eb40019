"""Number plates as they are written."""

from __future__ import annotations

import unicodedata

import pytest

from consumers.vehicles import normal_plate


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_a_plate_is_the_same_however_its_syllable_is_written(form: str) -> None:
    """As one letter or as the letters it is made of, as some systems write names."""
    assert "12가3456" == normal_plate(unicodedata.normalize(form, " 12가 3456"))  # type: ignore[arg-type]
