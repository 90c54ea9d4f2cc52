"""AES-SIV against RFC 5297 and the library; tokens: deterministic, distinct, and opened again."""

from __future__ import annotations

import secrets

import numpy as np
import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import given
from hypothesis import strategies as st

from transforms.protect.siv import LENGTH_MAX, ROWS_MIN, Bytes, Siv
from transforms.protect.tokens import Tokeniser

KEY = secrets.token_bytes(64)
TOKENISER = Tokeniser(KEY)
texts = st.lists(st.none() | st.text(max_size=40), max_size=200)


def rows(texts: list[bytes]) -> Bytes:
    return np.frombuffer(b"".join(texts), dtype=np.uint8).reshape(len(texts), -1)


def tokens(values: list[str | None], tokeniser: Tokeniser = TOKENISER) -> list[str | None]:
    found: list[str | None] = tokeniser.tokens(pa.array(values, pa.string())).to_pylist()
    return found


def test_the_cmac_inside_is_that_of_rfc_4493() -> None:
    """Its examples 2 to 4: https://www.rfc-editor.org/rfc/rfc4493#section-4."""
    siv = Siv(bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c") * 2)
    message = bytes.fromhex(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    )
    for length, tag in (
        (16, "070a16b46b4d4144f79bdd9dd04a287c"),
        (40, "dfa66747de9ae63030ca32611497c827"),
        (64, "51f0bebf7e3b9d92fc49741779363cfe"),
    ):
        assert siv._cmac(rows([message[:length]])).tobytes().hex() == tag


def test_its_steps_are_those_of_rfc_5297() -> None:
    """https://www.rfc-editor.org/rfc/rfc5297#appendix-A.1, whose associated data we do not have:
    CMAC(zero) and its CTR, which begins at V with two bits cleared."""
    siv = Siv(bytes.fromhex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"))
    assert siv._zero.tobytes().hex() == "0e04dfafc1efbf040140582859bf073a"
    tag = bytes.fromhex("85632d07c6e8f37f950acd320a2ecc93")
    text = bytes.fromhex("112233445566778899aabbccddee")
    sealed = rows([text]) ^ siv._stream(rows([tag]), len(text))
    assert sealed.tobytes().hex() == "40c02b9690c4dc04daef7f6afe5c"


def test_the_library_gives_what_rfc_5297_says() -> None:
    """Appendix A.1 whole, so that what we compare with is what the standard means."""
    key = bytes.fromhex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    data = bytes.fromhex("101112131415161718191a1b1c1d1e1f2021222324252627")
    sealed = AESSIV(key).encrypt(bytes.fromhex("112233445566778899aabbccddee"), [data])
    assert sealed.hex() == "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c"


@pytest.mark.parametrize("size", [32, 48, 64])
@pytest.mark.parametrize("length", [*range(35), 47, 48, 49, LENGTH_MAX, LENGTH_MAX + 1])
def test_many_at_once_are_sealed_as_the_library_seals_each(size: int, length: int) -> None:
    key = secrets.token_bytes(size)
    given_ = [secrets.token_bytes(length) for _ in range(ROWS_MIN)]
    sealed = Siv(key).seal(rows(given_).reshape(ROWS_MIN, length))
    assert [row.tobytes() for row in sealed] == [AESSIV(key).encrypt(t, None) for t in given_]


def test_a_counter_never_carries_over() -> None:
    """V of ones: the words' upper bits are cleared, and the last one counts on."""
    siv = Siv(KEY)
    stream = siv._stream(np.full((1, 16), 0xFF, dtype=np.uint8), 40).tobytes()
    assert len({stream[at : at + 16] for at in (0, 16)}) == 2


@given(texts)
def test_the_same_text_gives_the_same_token_and_others_others(values: list[str | None]) -> None:
    made = tokens(values)
    assert made == tokens(values)
    assert len(set(made)) == len(set(values))
    assert made == [made[values.index(value)] for value in values]


@given(texts)
def test_tokens_open_again_and_null_stays_null(values: list[str | None]) -> None:
    made = tokens(values)
    assert [token if token is None else TOKENISER.reveal(token) for token in made] == values


@given(texts, st.integers(0, 5))
def test_a_slice_of_a_column_gives_the_tokens_of_its_values(
    values: list[str | None], start: int
) -> None:
    column = pa.array(values, pa.string())
    assert TOKENISER.tokens(column[start:]).to_pylist() == tokens(values[start:])


def test_a_token_says_its_version_and_key_and_no_more_than_its_length() -> None:
    (token,) = tokens(["Anna"])
    assert token is not None
    version, key, sealed = token.split(".")
    assert (version, key, len(sealed)) == ("tr1", TOKENISER.key_id, 27)


def test_after_a_rotation_new_tokens_have_the_new_key_and_old_ones_still_open() -> None:
    rotated = Tokeniser(secrets.token_bytes(32), [KEY])
    (old,), (new,) = tokens(["Anna"]), tokens(["Anna"], rotated)
    assert old is not None
    assert new is not None
    assert old != new
    assert [rotated.reveal(token) for token in (old, new)] == ["Anna", "Anna"]
    with pytest.raises(ValueError, match=f"another key, {rotated.key_id}"):
        TOKENISER.reveal(new)


@pytest.mark.parametrize("text", ["", "Anna", "tr1", "tr1.", "tr1.00000000.", "tr2.x.y"])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no token"):
        TOKENISER.reveal(text)


def test_an_altered_token_is_refused() -> None:
    (token,) = tokens(["Anna"])
    assert token is not None
    for at in range(13, len(token) - 1):
        altered = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        with pytest.raises(ValueError, match=r"altered") as raised:
            TOKENISER.reveal(altered)
        assert "Anna" not in str(raised.value)
