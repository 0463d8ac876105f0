"""A depot in an object store: S3 and what speaks like it, Google Cloud Storage, Azure.

Addresses and keys of access come from the environment, as the providers' own tools have it:
`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, and for another server than Amazon's
`AWS_ENDPOINT_URL` (with `AWS_ALLOW_HTTP=true` where it has no TLS); `GOOGLE_SERVICE_ACCOUNT`;
`AZURE_STORAGE_ACCOUNT_NAME`, `AZURE_STORAGE_ACCOUNT_KEY`. None of them is ever written or told.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from databuild.engine.store import writing
from databuild.errors import StoreError
from databuild.release.depots import Entry, Found, copied

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KINDS = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl", "memory")
_RETRY = {"max_retries": 6, "retry_timeout": timedelta(seconds=60)}
_DENIED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken")
_WHOLE = 32 << 20
"""A file of up to so many bytes is sent in one request."""


@dataclass(frozen=True)
class Bucket:
    """A depot in a bucket, below a prefix."""

    where: str
    store: Any

    def children(self, prefix: str) -> list[str]:
        """The names directly below."""
        import obstore

        with self._reached():
            found = obstore.list_with_delimiter(self.store, prefix or None)
        keys = [*found["common_prefixes"], *(one["path"] for one in found["objects"])]
        return sorted(key.rstrip("/").rpartition("/")[2] for key in keys)

    def entries(self, prefix: str) -> list[Entry]:
        """The files directly below; all of them are whole."""
        import obstore

        with self._reached():
            return sorted(
                Entry(one["path"], one["size"], one["last_modified"].timestamp())
                for some in obstore.list(self.store, prefix)
                for one in some
                if one["path"].rpartition("/")[0] == prefix
            )

    def read(self, key: str) -> Found | None:
        """A small file; its tag is the one that the store gives it."""
        import obstore

        with self._reached():
            try:
                got = obstore.get(self.store, key)
                content = bytes(got.bytes())
            except FileNotFoundError:
                return None
        tag = {name: got.meta[name] for name in ("e_tag", "version") if got.meta.get(name)}
        return Found(content, json.dumps(tag))

    def create(self, key: str, content: bytes) -> bool:
        """Write with If-None-Match.

        A request may have been served and its answer lost: then what lies there is our own, which
        is told from everybody else's by its content.
        """
        return self._put(key, content, "create")

    def swap(self, key: str, content: bytes, tag: str | None) -> bool:
        """Write with If-Match."""
        return self._put(key, content, "create" if tag is None else json.loads(tag))

    def upload(self, path: Path, key: str) -> None:
        """Send a finished file; what was sent half is not there."""
        import obstore

        with self._reached():
            obstore.put(self.store, key, path, use_multipart=path.stat().st_size > _WHOLE)

    def download(self, key: str, to: Path | None) -> str | None:
        """Fetch a file while it is hashed."""
        import obstore

        with self._reached():
            try:
                blocks = obstore.get(self.store, key).stream(min_chunk_size=1 << 20)
            except FileNotFoundError:
                return None
            if to is not None:
                with writing(to):
                    return copied((bytes(block) for block in blocks), to)
            digest = hashlib.sha256()
            for block in blocks:
                digest.update(block)
            return digest.hexdigest()

    def delete(self, key: str) -> None:
        """Remove a file."""
        import obstore

        with self._reached():
            try:
                obstore.delete(self.store, key)
            except FileNotFoundError:
                return

    def _put(self, key: str, content: bytes, mode: Any) -> bool:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._reached():
            try:
                obstore.put(self.store, key, content, mode=mode)
            except (AlreadyExistsError, PreconditionError):
                found = self.read(key)
                return found is not None and found.content == content
        return True

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Turn what the object store says into one clear error.

        Raises:
            StoreError: It cannot be reached, or refuses.
        """
        from obstore import exceptions as faults

        try:
            yield
        except (faults.BaseError, FileNotFoundError) as error:
            code, said = _said(error)
            what = f"the object store did not do it: {said}"
            fix = "look at AWS_ENDPOINT_URL and try again: everything that was sent is kept"
            denied = isinstance(error, faults.PermissionDeniedError | faults.UnauthenticatedError)
            if denied or code in _DENIED:
                what = f"the object store refuses: {said}"
                fix = (
                    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (gs: GOOGLE_SERVICE_ACCOUNT; "
                )
                fix += "az: AZURE_STORAGE_ACCOUNT_KEY)"
            elif code == "NoSuchBucket":
                fix = "make the bucket, or name one that is there: --store s3://bucket/prefix"
            raise StoreError(self.where, what, fix=fix) from error


def bucket(url: str) -> Bucket:
    """The depot at a URL.

    Raises:
        StoreError: The extra is missing, or the URL is of no known kind.
    """
    scheme = url.partition(":")[0]
    if scheme not in KINDS:
        what = f"a store cannot lie at {url}; known are {', '.join(KINDS)}"
        raise StoreError("--store", what, fix="name a folder, or a URL as s3://bucket/prefix")
    try:
        from obstore import exceptions as faults
        from obstore.store import from_url
    except ImportError as error:
        what = f"{url} needs the object store's client, which is not installed"
        raise StoreError("--store", what, fix="uv add 'databuild[stores]'") from error
    options: dict[str, Any] = {"retry_config": _RETRY}
    if scheme == "memory":
        options = {}
    elif scheme in {"s3", "s3a"}:
        options["virtual_hosted_style_request"] = False
    try:
        return Bucket(url, from_url(url, **options))
    except (faults.BaseError, ValueError) as error:
        fix = "write it as s3://bucket/prefix, with the access in the environment"
        raise StoreError(url, f"it cannot be opened: {_said(error)[1]}", fix=fix) from error


def _said(error: BaseException) -> tuple[str, str]:
    """The code and the words of an object store's answer, out of all that the client tells."""
    found = re.search(r"<Code>(\w+)</Code>.*?<Message>([^<]*)", str(error), re.DOTALL)
    if found:
        return found[1], f"{found[1]}: {found[2].rstrip('.')}"
    return "", str(error).strip().partition("\n")[0].rstrip(".")[:300]
