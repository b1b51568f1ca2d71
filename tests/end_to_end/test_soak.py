"""A few seconds of `python -m local.soak`, so that it works when it is wanted."""

import pytest

from local.soak import soak


@pytest.mark.slow
def test_a_short_soak_ends_in_agreement(capsys: pytest.CaptureFixture[str]) -> None:
    assert soak(3.0, seed=4, hosts=2) == []
    assert "quiet: " in capsys.readouterr().out
