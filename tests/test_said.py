"""Warnings gathered as texts: once each, of one thread, and shown where nobody listens."""

import threading

import pytest

from atomnb.errors import CalibrationWarning, RangeWarning
from atomnb.said import gathered_warnings, warn


def test_gathered_warnings_are_texts_and_are_not_shown(recwarn):
    with gathered_warnings() as said:
        warn("first", RangeWarning)
        warn("second", CalibrationWarning)
        warn("first", RangeWarning)
    assert said == ["first", "second"] and not recwarn.list


def test_warnings_are_shown_where_nobody_listens():
    with pytest.warns(RangeWarning, match="seen") as shown:
        warn("seen", RangeWarning, stacklevel=1)
    assert shown[0].filename == __file__


def test_nobody_listens_after_an_error():
    with pytest.raises(ValueError, match="broken"), gathered_warnings() as said:
        warn("before", RangeWarning)
        raise ValueError("broken")
    assert said == ["before"]
    with pytest.warns(RangeWarning):
        warn("after", RangeWarning)


def test_the_inner_of_two_listens():
    with gathered_warnings() as outer:
        with gathered_warnings() as inner:
            warn("deep", RangeWarning)
        warn("shallow", RangeWarning)
    assert (outer, inner) == (["shallow"], ["deep"])


def test_threads_do_not_hear_one_another():
    heard = {}

    def listen(name):
        with gathered_warnings() as said:
            both.wait()
            warn(name, RangeWarning)
            both.wait()
        heard[name] = said

    both = threading.Barrier(2)
    threads = [threading.Thread(target=listen, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == {"one": ["one"], "two": ["two"]}
