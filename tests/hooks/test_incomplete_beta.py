"""The incomplete beta function agrees with SciPy's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betainc, betaincinv
from scipy.stats import beta

from hyperhook.incomplete_beta import LARGEST_SHAPE, incomplete_beta, inverse_incomplete_beta, log_beta_density

shapes = st.floats(1, 20) | st.floats(1, LARGEST_SHAPE)
shares = st.floats(1e-9, 1 - 1e-6) | st.floats(1e-30, 1e-3)  # beyond, SciPy's own inverse is NaN or rounded


@given(shapes, shapes, shares, st.booleans())
def test_it_is_scipys(a: float, b: float, x: float, anywhere: bool) -> None:
    x = x if anywhere else float(betaincinv(a, b, x))
    assert incomplete_beta(a, b, x) == pytest.approx(betainc(a, b, x), rel=1e-8, abs=1e-200)


@given(shapes, shapes, shares)
def test_the_inverse_is_scipys(a: float, b: float, p: float) -> None:
    assert inverse_incomplete_beta(a, b, p) == pytest.approx(betaincinv(a, b, p), rel=1e-7, abs=1e-12)


@given(shapes, shapes, st.floats(1e-6, 1 - 1e-6))
def test_the_density_is_scipys(a: float, b: float, x: float) -> None:
    assert log_beta_density(a, b, x) == pytest.approx(float(beta(a, b).logpdf(x)), rel=1e-9, abs=1e-7)


@given(shapes, shapes)
def test_the_ends(a: float, b: float) -> None:
    for end in (0.0, 1.0):
        assert incomplete_beta(a, b, end) == end
        assert inverse_incomplete_beta(a, b, end) == end
