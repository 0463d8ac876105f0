"""Columns or whole versions that only who has the key can read: Parquet modular encryption.

The files are Parquet as its specification encrypts it (AES-GCM, 256 bits; "Parquet Modular
Encryption", parquet-format 2.7 and later), so pyarrow, Spark and every other implementation reads
them again with the key. Chosen columns are encrypted and the footer is signed: who has no key still
reads the other columns. With `all` the footer is encrypted as well, and nothing can be read but
the length.

Data keys are drawn anew for every file and wrapped with the master key (AES-256-GCM), so equal rows
never give equal files. That versions share files nonetheless, each encrypted file has a `seal` in
the manifest: HMAC-SHA256 of its plain bytes under the key. A chunk whose seal an earlier version
has is not written again. Who has no key learns from a seal that two files are equal, and no more.

The key is never in a manifest, a log or an error; the manifest has its fingerprint, 12 hexadecimal
digits of an HMAC under it.
"""

from __future__ import annotations

import binascii
import hmac
import os
import shutil
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from pydantic import BaseModel

from databuild.errors import SchemaError, StoreError, nearest
from databuild.schema.parquet import as_arrow, write_parquet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ALL: Literal["all"] = "all"
KEY_BYTES = 32
_NAME = "databuild"
_NONCE_BYTES = 12
_MARK = b"databuild.key"
_MAKE = "python -c 'import secrets; print(secrets.token_hex(32))'"


class Encrypted(BaseModel):
    """What a manifest says of the encryption of a version."""

    columns: tuple[str, ...] | Literal["all"]
    """Columns that need the key, or `all`: then nothing can be read without."""
    key: str
    """The key's fingerprint."""
    method: str = "Parquet modular encryption, AES-GCM, 256 bits"


@dataclass(frozen=True)
class Key:
    """A master key of 32 bytes; it never shows itself.

    Example:
        >>> key = Key(bytes(32))
        >>> key, len(key.fingerprint)
        (Key(d5cc86a9c454), 12)
    """

    secret: bytes = field(repr=False)

    def __repr__(self) -> str:
        return f"Key({self.fingerprint})"

    @property
    def fingerprint(self) -> str:
        """By what a key is known: 12 hexadecimal digits."""
        return self._digest(b"databuild: fingerprint of a key, version 1")[:12]

    def seal(self, plain: bytes, columns: Sequence[str] | Literal["all"]) -> str:
        """The digest of a plain file that nobody can make, or guess rows by, without the key."""
        named = ALL if columns == ALL else "\n".join(sorted(columns))
        head = f"databuild: seal, version 1\n{named}\n".encode()
        return self._digest(head + plain)

    def _digest(self, content: bytes) -> str:
        return hmac.new(self.secret, content, "sha256").hexdigest()


def read_key(where: str, *, env: str | None = None, file: Path | None = None) -> Key:
    """Read a key from an environment variable or a file: 32 bytes, as base64 or hexadecimal text.

    A file may also hold the 32 bytes as they are.

    Args:
        where: Who asks, for errors.
        env: The name of the variable.
        file: The file; exactly one of the two is given.

    Raises:
        StoreError: There is no key, or it has another length.

    Example:
        >>> os.environ["SOME_KEY"] = "00" * 32
        >>> read_key("export", env="SOME_KEY") == Key(bytes(32))
        True
    """
    if (env is None) == (file is None):
        what = "name the key once: as an environment variable or as a file"
        raise StoreError(where, what, fix="give `key_env` or `key_file` (--key-env, --key-file)")
    named = f"the environment variable {env}" if env is not None else f"the key file {file}"
    if env is not None:
        raw = os.environ.get(env, "").encode()
        if not raw:
            raise StoreError(where, f"{named} is not set", fix=f"export {env}=$({_MAKE})")
    else:
        try:
            raw = Path(str(file)).read_bytes()
        except OSError as error:
            what = f"{named} cannot be read: {error.strerror}"
            raise StoreError(where, what, fix=f"make one: {_MAKE} > {file}") from error
    secret = _decoded(raw, is_file=file is not None)
    if len(secret) != KEY_BYTES:
        what = f"{named} holds {len(secret)} bytes; a key has {KEY_BYTES}, as base64 or hexadecimal"
        raise StoreError(where, what, fix=f"make one: {_MAKE}")
    return Key(secret)


def _decoded(raw: bytes, *, is_file: bool) -> bytes:
    """The bytes of a key; of text that is neither base64 nor hexadecimal, the text."""
    if is_file and len(raw) == KEY_BYTES and not raw.isascii():
        return raw
    text = raw.strip()
    try:
        return binascii.unhexlify(text)
    except binascii.Error:
        pass
    try:
        return b64decode(text, altchars=b"-_" if {*b"-_"} & {*text} else None, validate=True)
    except binascii.Error:
        return text if len(text) != KEY_BYTES else b""


def plain_bytes(rows: pl.DataFrame) -> bytes:
    """The Parquet file of rows in memory; equal rows give equal bytes."""
    import pyarrow as pa
    from pyarrow import parquet

    sink = pa.BufferOutputStream()
    parquet.write_table(as_arrow(rows), sink)
    return bytes(sink.getvalue())


def write_encrypted(
    rows: pl.DataFrame, path: Path, key: Key, columns: Sequence[str] | Literal["all"]
) -> None:
    """Write rows as a Parquet file whose columns, or the whole of it, need the key.

    Args:
        rows: Any table.
        path: Where to.
        key: The master key.
        columns: Columns to encrypt; those that the table lacks are passed over. `all` encrypts
            the footer as well: names, types and counts.

    Raises:
        StoreError: The package `cryptography` is not installed.

    Example:
        >>> import tempfile
        >>> rows = pl.DataFrame({"row_id": ["a"], "prompt": ["my secret"]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "a.parquet"
        ...     write_encrypted(rows, path, Key(bytes(32)), ["prompt"])
        ...     b"secret" in path.read_bytes(), read_rows(path, Key(bytes(32))).equals(rows)
        (False, True)
    """
    from pyarrow import parquet
    from pyarrow.parquet import encryption

    table = as_arrow(rows)
    named = [] if columns == ALL else [name for name in columns if name in rows.columns]
    if columns != ALL and not named:
        parquet.write_table(table, path)
        return
    how: dict[str, Any] = {"uniform_encryption": True}
    if columns != ALL:
        how = {"column_keys": {_NAME: _leaves(table, named)}, "plaintext_footer": True}
    table = table.replace_schema_metadata({_MARK: key.fingerprint.encode()})
    config = encryption.EncryptionConfiguration(
        footer_key=_NAME, data_key_length_bits=8 * KEY_BYTES, **how
    )
    properties = _factory(key).file_encryption_properties(encryption.KmsConnectionConfig(), config)
    parquet.write_table(table, path, encryption_properties=properties)


def _leaves(table: Any, columns: Sequence[str]) -> list[str]:
    """The Parquet columns that columns are made of: `turns.list.element.content` ..."""
    import pyarrow as pa
    from pyarrow import parquet

    sink = pa.BufferOutputStream()
    parquet.write_table(table.slice(0, 0), sink)
    schema = parquet.ParquetFile(pa.BufferReader(sink.getvalue())).schema
    paths = [schema.column(n).path for n in range(len(schema.names))]
    return [path for path in paths if path.partition(".")[0] in columns]


def read_rows(path: Path, key: Key | None = None, where: str = "read") -> pl.DataFrame:
    """Read a Parquet file, encrypted or not.

    Raises:
        StoreError: It is encrypted and there is no key, or another one; or it is damaged.
    """
    if key is None and not is_encrypted(path):
        return pl.read_parquet(path, glob=False)
    import pyarrow as pa
    from pyarrow import parquet

    if key is None:
        what = f"{path.name} is encrypted, and there is no key"
        raise StoreError(where, what, fix="name it with --key-env VARIABLE or --key-file FILE")
    try:
        table = parquet.read_table(path, decryption_properties=_opening(key))
    except (OSError, ValueError, pa.ArrowException, *_tampered()) as error:
        what = f"{path.name} does not open with the key {key.fingerprint}: another key, or damaged"
        fix = "give the key that it was released with; `databuild verify` says whether it is whole"
        raise StoreError(where, what, fix=fix) from error
    found = pl.from_arrow(table)
    assert isinstance(found, pl.DataFrame)
    return found


def is_encrypted(path: Path) -> bool:
    """Say whether a file that databuild wrote needs a key, whole or for some columns.

    A wholly encrypted file ends in `PARE`; one with encrypted columns names its key in the footer.
    (The columns themselves are not asked: pyarrow 26 ends the process when it is asked, without a
    key, about a column that needs one.)
    """
    from pyarrow import parquet

    with path.open("rb") as handle:
        handle.seek(-4, os.SEEK_END)
        if handle.read() == b"PARE":
            return True
    return _MARK in (parquet.read_metadata(path).metadata or {})


@dataclass(frozen=True)
class Sealing:
    """How the files of a version are encrypted, and which encrypted files there are already."""

    key: Key
    columns: tuple[str, ...] | Literal["all"]
    known: Mapping[str, Path] = field(default_factory=dict)
    """Files of earlier versions, by seal."""

    def write(self, rows: pl.DataFrame, path: Path) -> str | None:
        """Write a file, or link an earlier one of the same rows; return its seal.

        None where it holds no column that is encrypted.
        """
        if self.columns != ALL and not set(self.columns) & set(rows.columns):
            write_parquet(rows, path)
            return None
        seal = self.key.seal(plain_bytes(rows), self.columns)
        earlier = self.known.get(seal)
        if earlier is not None and earlier.is_file():
            link(earlier, path)
        else:
            write_encrypted(rows, path, self.key, self.columns)
        return seal

    @property
    def told(self) -> Encrypted:
        """What the manifest says."""
        return Encrypted(columns=self.columns, key=self.key.fingerprint)


def check_key(encrypted: Encrypted | None, key: Key | None, where: str) -> None:
    """Refuse to begin without the key that a version was encrypted with.

    Raises:
        StoreError: There is none, or another one.
    """
    if encrypted is None:
        return
    named = "it is" if encrypted.columns == ALL else f"{', '.join(encrypted.columns)} of it are"
    if key is None:
        what = f"{named} encrypted with the key {encrypted.key}, and there is no key"
        raise StoreError(where, what, fix="name it with --key-env VARIABLE or --key-file FILE")
    if key.fingerprint != encrypted.key:
        what = f"{named} encrypted with the key {encrypted.key}; the one given is {key.fingerprint}"
        raise StoreError(where, what, fix="give the key that it was released with")


def check_columns(columns: Sequence[str] | Literal["all"], tables: Mapping[str, Any]) -> None:
    """Refuse a column that no table of a version has.

    Args:
        columns: What the recipe says.
        tables: The columns of every table, by its name.

    Raises:
        SchemaError: A table has no such column, so that nothing would be encrypted; or it is
            `row_id`, by which versions are compared.
    """
    if columns == ALL:
        return
    known = sorted({name for of in tables.values() for name in of})
    for name in columns:
        if name == "row_id":
            what = "row_id cannot be encrypted by itself: versions are compared and cut by it"
            raise SchemaError("release.encrypt", what, fix="leave it out, or encrypt `all`")
        if name not in known:
            what = f"no table of the version has the column {name!r}; {nearest(name, known)}"
            raise SchemaError("release.encrypt", what, fix="name one of those")


def link(path: Path, to: Path) -> None:
    """A hard link, or a copy where the file system has none."""
    try:
        to.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, to)


def _opening(key: Key) -> Any:
    from pyarrow.parquet import encryption

    return _factory(key).file_decryption_properties(
        encryption.KmsConnectionConfig(), encryption.DecryptionConfiguration()
    )


@lru_cache(maxsize=4)
def _factory(key: Key) -> Any:
    """What wraps data keys, for pyarrow: here the master key itself does."""
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        what = "data keys are wrapped with the package cryptography, which is not installed"
        raise StoreError("encryption", what, fix="uv add 'databuild[privacy]'") from error
    from pyarrow.parquet import encryption

    cipher = AESGCM(key.secret)

    class Keeper(encryption.KmsClient):
        def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
            nonce = os.urandom(_NONCE_BYTES)
            sealed = cipher.encrypt(nonce, key_bytes, master_key_identifier.encode())
            return b64encode(nonce + sealed)

        def unwrap_key(self, wrapped_key: bytes, master_key_identifier: str) -> bytes:
            raw = b64decode(wrapped_key)
            nonce, sealed = raw[:_NONCE_BYTES], raw[_NONCE_BYTES:]
            return cipher.decrypt(nonce, sealed, master_key_identifier.encode())

    return encryption.CryptoFactory(lambda _: Keeper())


def _tampered() -> tuple[type[Exception], ...]:
    from cryptography.exceptions import InvalidTag

    return (InvalidTag,)
