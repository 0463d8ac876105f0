"""Push a released version to a hub of data sets, in one commit."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from databuild.errors import ServiceError
from databuild.release.verifying import verify
from databuild.release.versions import MANIFEST

if TYPE_CHECKING:
    from databuild.release.versions import Version, Versions

TOKEN = "HF_TOKEN"  # noqa: S105 -- the name of a variable


def push(
    versions: Versions, version: Version, repo: str, *, private: bool = True
) -> dict[str, Any]:
    """Put the files of a version into a repository of data sets, as one commit with its number.

    Every file is compared with its checksum first. The endpoint is `HF_ENDPOINT`, or Hugging Face;
    the token comes from the variable `HF_TOKEN` and is never told. What is encrypted stays so.

    Args:
        versions: Where it lies.
        version: Its manifest.
        repo: `org/name`; made where it is not there.
        private: Whether a new repository is seen by its owners only.

    Returns:
        `version`, `repo`, `commit`, `url` and the number of `files`.

    Raises:
        ServiceError: The files are not whole, there is no token, or the hub refuses.
    """
    try:
        from huggingface_hub import CommitOperationAdd, HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
    except ImportError as error:
        what = "hubs are reached with the package huggingface_hub, which is not installed"
        raise ServiceError("hub", what, fix="uv add 'databuild[hub]'") from error
    named = f"{version.name}@{version.version}"
    token = os.environ.get(TOKEN)
    if not token:
        what = "there is no token"
        raise ServiceError("hub", what, fix=f"export {TOKEN}=... of an account that may write")
    faults = verify(versions, version.version).faults
    if faults:
        what = f"{named} is not as it was released: {', '.join(list(faults)[:3])}"
        raise ServiceError("hub", what, fix="see `databuild verify`")
    folder = versions.folder(version.version)
    paths = [*(one.path for one in version.files), MANIFEST]
    api = HfApi(token=token)
    try:
        api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        made = api.create_commit(
            repo, [CommitOperationAdd(path, folder / path) for path in paths],
            commit_message=named, commit_description=f"fingerprint {version.fingerprint}",
            repo_type="dataset",
        )  # fmt: skip
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, OSError) as error:
        told = " ".join(str(error).replace(token, "<token>").split())[:300]
        what = f"{repo} could not be written: {told}"
        fix = "look at the name, at what the token may do, and at HF_ENDPOINT and HF_HUB_OFFLINE"
        raise ServiceError("hub", what, fix=fix) from None
    return {"version": named, "repo": repo, "commit": made.oid, "url": str(made.commit_url),
            "files": len(paths)}  # fmt: skip
