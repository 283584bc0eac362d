"""Nonces: words in the names of commands that nobody knows before, and that are always the same.

The agent repeats a command's name in its markers. With a nonce in it, a marker that was written
into a module's source beforehand is that of no command. They follow from a secret, so that the
same grading is the same bytes.
"""

from __future__ import annotations

import hashlib
import hmac

_LETTERS = 16
"""64 bits: nobody guesses one of them, and it has one answer only."""


def nonce(secret: bytes, *about: object) -> str:
    """The nonce of a submission, a boot and a case, say; always of the same length."""
    text = "\0".join(map(str, about)).encode(errors="surrogateescape")
    return hmac.new(secret, text, hashlib.sha256).hexdigest()[:_LETTERS]
