"""Warnings gathered as texts: ours once each, those of others passed on."""

import warnings

import pytest

from atomnb.errors import CalibrationWarning, RangeWarning
from atomnb.said import gathered_warnings


def test_our_warnings_are_texts_and_are_not_shown():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with gathered_warnings() as said:
            warnings.warn("first", RangeWarning, stacklevel=1)
            warnings.warn("second", CalibrationWarning, stacklevel=1)
            warnings.warn("first", RangeWarning, stacklevel=1)
    assert said == ["first", "second"]


def test_warnings_of_others_pass_on():
    with pytest.warns(DeprecationWarning, match="old"), gathered_warnings() as said:
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert said == []


def test_an_error_passes_through():
    with pytest.raises(ValueError, match="broken"), gathered_warnings():
        raise ValueError("broken")
