"""The regularised incomplete beta function and its inverse, without SciPy: the core imports nothing heavy.

======  ===============================================================================================================
symbol  meaning
======  ===============================================================================================================
a, b    shapes of the beta distribution, from 1 to `LARGEST_SHAPE`
x       where, in [0, 1]
p       I_x(a, b), in [0, 1]: how much of the distribution lies below x
======  ===============================================================================================================

References:
    DLMF, https://dlmf.nist.gov/8.17: the continued fraction 8.17.22 and the reflection 8.17.4.
    Lentz: Generating Bessel Functions in Mie Scattering Calculations Using Continued Fractions. Applied Optics 1976.
"""

from __future__ import annotations

import math

__all__ = ["LARGEST_SHAPE", "incomplete_beta", "inverse_incomplete_beta", "log_beta_density"]

LARGEST_SHAPE = 10_000.0
"""Beyond it the distribution is a normal one, and the fraction takes long."""
_ACCURACY = 1e-15
_TINY = 1e-300  # stands in for a denominator of 0, after Lentz
_TERMS = 1_000
_STEPS = 100


def log_beta_density(a: float, b: float, x: float) -> float:
    """Return the logarithm of the beta distribution's density; -inf where it is 0.

    Args:
        a: First shape.
        b: Second shape.
        x: Where, in [0, 1].

    Example:
        >>> log_beta_density(1, 1, 0.3)
        0.0
    """
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return scale + _power(a - 1, x) + _power(b - 1, 1 - x)


def _power(exponent: float, x: float) -> float:
    """Return log x^exponent, where 0^0 is 1."""
    if exponent == 0:
        return 0.0
    return exponent * math.log(x) if x > 0 else -math.inf


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Return I_x(a, b), to about 10 digits.

    Args:
        a: First shape.
        b: Second shape.
        x: Where, in [0, 1].

    Example:
        >>> round(incomplete_beta(2, 3, 0.5), 12)
        0.6875
    """
    if x in (0.0, 1.0):
        return x
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast below
        return 1 - incomplete_beta(b, a, 1 - x)
    front = log_beta_density(a, b, x) + math.log(x) + math.log1p(-x) - math.log(a)
    return min(math.exp(front) / _fraction(a, b, x), 1.0)


def _fraction(a: float, b: float, x: float) -> float:
    """Return 1 + d₁/(1 + d₂/(1 + …)), whose reciprocal is the fraction of DLMF 8.17.22, by the method of Lentz."""
    value, above, below = 1.0, 1.0, 0.0
    for term in range(1, _TERMS):
        m = term // 2
        if term % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        above = 1 + d / above or _TINY
        below = 1 / (1 + d * below or _TINY)
        value *= above * below
        if abs(above * below - 1) < _ACCURACY:
            break
    return value


def inverse_incomplete_beta(a: float, b: float, p: float) -> float:
    """Return the x at which I_x(a, b) is p: Newton's steps, halving the bracket where they lead out of it.

    Args:
        a: First shape.
        b: Second shape.
        p: How much of the distribution lies below, in [0, 1].

    Example:
        >>> round(inverse_incomplete_beta(2, 3, 0.6875), 12)
        0.5
    """
    if p in (0.0, 1.0):
        return p
    low, high, x = 0.0, 1.0, a / (a + b)
    for _ in range(_STEPS):
        error = incomplete_beta(a, b, x) - p
        low, high = (low, x) if error > 0 else (x, high)
        density = math.exp(log_beta_density(a, b, x))
        nearer = x - error / density if density else math.nan
        if not low < nearer < high:
            nearer = (low + high) / 2
        if abs(nearer - x) <= _ACCURACY * x:
            break
        x = nearer
    return x
