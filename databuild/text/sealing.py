"""Lists of what was replaced, sealed with a key that is nowhere but in an environment variable.

Sealed with AES-SIV (RFC 5297) under a key of the secret (HKDF-SHA256). The nonce is a hash of the
row's id, so that sealing again gives the same text, and equal values of two rows do not.
"""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from databuild.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from databuild.text.masking import Swap

MIN_SECRET_CHARS = 32
_NONCE_BYTES = 16
_PURPOSE = b"databuild: sealed list of masked values, version 1"


def secret_of(variable: str, where: str, least: int = MIN_SECRET_CHARS) -> str:
    """The secret that an environment variable holds.

    Raises:
        StepError: It is not set, or shorter than `least` characters.
    """
    secret = os.environ.get(variable, "")
    if len(secret) < least:
        found = "is not set" if not secret else f"holds {len(secret)} characters"
        what = f"the environment variable {variable} {found}; a secret has {least} or more"
        fix = f"export {variable}=$(python -c 'import secrets; print(secrets.token_urlsafe(48))')"
        raise StepError(where, what, fix=fix)
    return secret


class Seal:
    """Seals and opens lists of swaps.

    Args:
        secret: What the key is made of.
        where: Who asks, for errors.

    Raises:
        StepError: The package `cryptography` is not installed.

    Example:
        >>> seal = Seal("correct horse battery staple, or longer")
        >>> text = seal.close({"prompt": [("[EMAIL]", "ann@post.org")]}, "row 1")
        >>> seal.open(text)
        {'prompt': [('[EMAIL]', 'ann@post.org')]}
    """

    def __init__(self, secret: str, where: str = "mask") -> None:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESSIV
            from cryptography.hazmat.primitives.hashes import SHA256
            from cryptography.hazmat.primitives.kdf.hkdf import HKDF
        except ImportError as error:
            what = "a mapping is sealed with the package cryptography, which is not installed"
            raise StepError(where, what, fix="uv add 'databuild[privacy]'") from error
        key = HKDF(SHA256(), length=64, salt=None, info=_PURPOSE).derive(secret.encode())
        self._cipher: Any = AESSIV(key)
        self._where = where

    def close(self, swaps: Mapping[str, Sequence[Swap]], row_id: str) -> str:
        """Seal the swaps of a row, by column, as one line of ASCII."""
        plain = json.dumps(swaps, ensure_ascii=True, separators=(",", ":"))
        nonce = sha256(row_id.encode()).digest()[:_NONCE_BYTES]
        sealed = self._cipher.encrypt(plain.encode(), [_PURPOSE, nonce])
        return urlsafe_b64encode(nonce + sealed).decode()

    def open(self, text: str) -> dict[str, list[Swap]]:
        """Open what `close` sealed.

        Raises:
            StepError: It was sealed with another secret, or changed since.
        """
        from cryptography.exceptions import InvalidTag

        try:
            raw = urlsafe_b64decode(text.encode())
            nonce, sealed = raw[:_NONCE_BYTES], raw[_NONCE_BYTES:]
            plain = self._cipher.decrypt(sealed, [_PURPOSE, nonce])
        except (InvalidTag, ValueError) as error:
            what = "a mapping does not open: it was sealed with another secret, or was changed"
            fix = "set the variable to the secret that the recipe was run with"
            raise StepError(self._where, what, fix=fix) from error
        found = json.loads(plain)
        return {name: [(made, value) for made, value in swaps] for name, swaps in found.items()}
