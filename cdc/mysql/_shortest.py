# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Doubles as the shortest decimal that reads back as them: the text of Python's `repr`, faster.

The method is Raffaello Giulietti's Schubfach ("The Schubfach way to render doubles", 2020), whose
names stand here: a double is c · 2^q; of the decimals with exponent k and k + 1 one or two lie
nearer to it than to its neighbours, and the nearest is taken. Written in Cython's pure-Python mode;
uncompiled, `repr` itself is asked (see `cdc.mysql._rows`).
"""

from __future__ import annotations

try:
    import cython
except ModuleNotFoundError:
    from tailrace import cyshim as cython

if cython.compiled:
    from cython.cimports.libc.string import memcpy

K_MIN = -292
K_MAX = 324


def _powers() -> bytearray:
    """10^k for each k, as 128 bits rounded up: two numbers of 64 bits, the upper one first."""
    table = bytearray()
    for k in range(K_MIN, K_MAX + 1):
        shift = 127 - (k * 1741647 >> 19)  # 127 - floor(log2(10^k))
        if k >= 0:
            power = 10**k << shift if shift >= 0 else -(-(10**k) >> -shift)
        else:
            power = -(-(1 << shift) // 10**-k)
        table += (power >> 64).to_bytes(8, "little") + (power & (1 << 64) - 1).to_bytes(8, "little")
    return table


POWERS: bytearray = _powers()


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _upper(a: cython.ulonglong, b: cython.ulonglong) -> cython.ulonglong:
    """The upper 64 bits of a product."""
    a_low: cython.ulonglong = cython.cast(cython.uint, a)
    b_low: cython.ulonglong = cython.cast(cython.uint, b)
    a_high: cython.ulonglong = a >> 32
    b_high: cython.ulonglong = b >> 32
    low: cython.ulonglong = a_low * b_low
    middle: cython.ulonglong = a_high * b_low + (low >> 32)
    other: cython.ulonglong = a_low * b_high + cython.cast(cython.uint, middle)
    return a_high * b_high + (middle >> 32) + (other >> 32)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _to_odd(high: cython.ulonglong, low: cython.ulonglong, c: cython.ulonglong) -> cython.ulonglong:
    """c times a power, its upper bits; the last of them says whether any below is set."""
    y: cython.ulonglong = high * c
    x: cython.ulonglong = _upper(low, c)
    top: cython.ulonglong = _upper(high, c)
    sum_: cython.ulonglong = y + x
    if sum_ < x:
        top += 1
    return top | (sum_ > 1)


def shortest(value: cython.double, to: cython.p_uchar) -> cython.Py_ssize_t:
    """Write the text of a finite double; return its length, at most 24 bytes."""
    bits: cython.ulonglong = 0
    one: cython.ulonglong = 1
    at: cython.Py_ssize_t = 0
    memcpy(cython.address(bits), cython.address(value), 8)
    if bits >> 63:
        to[0] = 45
        at = 1
        bits &= (one << 63) - 1
    if bits == 0:
        to[at] = 48
        return at + 1
    fraction: cython.ulonglong = bits & ((one << 52) - 1)
    exponent: cython.int = cython.cast(cython.int, bits >> 52)
    c: cython.ulonglong = fraction | (one << 52) if exponent else fraction
    q: cython.int = (exponent if exponent else 1) - 1075
    if exponent and -53 < q <= 0 and (c >> -q) << -q == c:
        return _printed(c >> -q, 0, to, at)  # an integer
    closer: cython.int = 1 if fraction == 0 and exponent > 1 else 0
    odd: cython.ulonglong = c & 1
    k: cython.int = (q * 1262611 - (524031 if closer else 0)) >> 22
    h: cython.int = q + ((-k * 1741647) >> 19) + 1
    powers: cython.p_uchar = cython.cast(cython.p_uchar, cython.cast(cython.p_char, POWERS))
    high: cython.ulonglong = 0
    low: cython.ulonglong = 0
    memcpy(cython.address(high), powers + 16 * (-k + 292), 8)
    memcpy(cython.address(low), powers + 16 * (-k + 292) + 8, 8)
    lower: cython.ulonglong = _to_odd(high, low, (4 * c - 2 + closer) << h) + odd
    middle: cython.ulonglong = _to_odd(high, low, (4 * c) << h)
    upper: cython.ulonglong = _to_odd(high, low, (4 * c + 2) << h) - odd
    s: cython.ulonglong = middle >> 2
    tens: cython.ulonglong = s // 10
    below: cython.bint
    above: cython.bint
    if s >= 10:
        below = lower <= 40 * tens
        above = 40 * tens + 40 <= upper
        if below != above:
            return _printed(tens + above, k + 1, to, at)
    below = lower <= 4 * s
    above = 4 * s + 4 <= upper
    if below != above:
        return _printed(s + above, k, to, at)
    if middle > 4 * s + 2 or (middle == 4 * s + 2 and s & 1):
        s += 1
    return _printed(s, k, to, at)


@cython.cfunc
@cython.exceptval(check=False)
def _printed(
    digits: cython.ulonglong, power: cython.int, to: cython.p_uchar, at: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """digits · 10^power as `repr` writes it, without its ``.0``."""
    while digits % 10 == 0:
        digits //= 10
        power += 1
    count: cython.int = 0
    rest: cython.ulonglong = digits
    while rest:
        rest //= 10
        count += 1
    point: cython.int = count + power  # digits before the point
    i: cython.int
    if 0 < point <= 16:
        if power >= 0:
            _put(digits, count, to + at)
            for i in range(power):
                to[at + count + i] = 48
            return at + point
        # Written one place to the right, then the digits before the point are moved back over it.
        _put(digits, count, to + at + 1)
        for i in range(point):
            to[at + i] = to[at + i + 1]
        to[at + point] = 46
        return at + count + 1
    if -4 < point <= 0:
        to[at] = 48
        to[at + 1] = 46
        for i in range(-point):
            to[at + 2 + i] = 48
        _put(digits, count, to + at + 2 - point)
        return at + 2 - point + count
    _put(digits, count, to + at + 1)
    to[at] = to[at + 1]
    at += 1
    if count > 1:
        to[at] = 46
        at += count
    to[at] = 101
    point -= 1
    to[at + 1] = 45 if point < 0 else 43
    at += 2
    point = -point if point < 0 else point
    count = 3 if point >= 100 else 2
    _put(cython.cast(cython.ulonglong, point), count, to + at)
    return at + count


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _put(value: cython.ulonglong, count: cython.int, to: cython.p_uchar) -> cython.void:
    """The last `count` digits of `value`."""
    while count > 0:
        count -= 1
        to[count] = 48 + cython.cast(cython.int, value % 10)
        value //= 10


def shortest_text(value: float) -> bytes:
    """The same as bytes; for the tests."""
    to: bytearray = bytearray(24)
    return bytes(to[: shortest(value, cython.cast(cython.p_uchar, cython.cast(cython.p_char, to)))])
