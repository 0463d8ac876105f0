"""What holds for every store, whether it is a folder or a bucket of a real S3 server."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from databuild import api
from databuild.errors import RecipeError, StepError, StoreError
from databuild.release import leases
from databuild.release.checkout import check_out
from databuild.release.clearing import clear
from databuild.release.depots import Folder, opened
from databuild.release.leases import GC, RELEASE, lease, living
from databuild.release.pointing import point
from databuild.release.verifying import verify
from databuild.release.versions import Versions, names_in
from tests.release.conftest import Shop, tickets

if TYPE_CHECKING:
    from databuild.release.depots import Depot


def versions_of(stored: Shop) -> Versions:
    return Versions(stored.store, "shop")


def released(stored: Shop, *sizes: int) -> Versions:
    for n in sizes:
        stored.run(tickets(n))
        stored.release()
    return versions_of(stored)


def object_of(versions: Versions, path: str) -> str:
    made = versions.read("latest")
    return versions.key(made, next(one for one in made.files if one.path == path))


# -------------------------------------------------------------------------- the depots themselves


@pytest.fixture(params=["folder", "s3", "memory"])
def depot(request: pytest.FixtureRequest, tmp_path: Path) -> Depot:
    if request.param == "memory":
        pytest.importorskip("obstore")
        return opened("memory:///")
    return opened(request.getfixturevalue("s3") if request.param == "s3" else tmp_path / "store")


def test_a_small_file_is_made_once_and_swapped_only_as_it_was_read(depot: Depot) -> None:
    assert depot.read("a/b.json") is None
    assert depot.create("a/b.json", b"1")
    assert not depot.create("a/b.json", b"2")
    assert not depot.swap("a/b.json", b"2", None)
    found = depot.read("a/b.json")
    assert found.content == b"1"
    assert depot.swap("a/b.json", b"3", found.tag)
    assert not depot.swap("a/b.json", b"4", found.tag)
    assert depot.read("a/b.json").content == b"3"


def test_files_are_listed_copied_hashed_and_removed(depot: Depot, tmp_path: Path) -> None:
    source = tmp_path / "源.bin"
    source.write_bytes(b"x" * 3_000_000)
    depot.upload(source, "name/objects/abc")
    depot.upload(source, "name/objects/abd")
    depot.create("name/1.0.0/manifest.json", b"{}")
    assert depot.children("name") == ["1.0.0", "objects"]
    assert (depot.children("nothing"), depot.entries("nothing")) == ([], [])
    assert [(one.key, one.bytes) for one in depot.entries("name/objects")] == [
        ("name/objects/abc", 3_000_000), ("name/objects/abd", 3_000_000)
    ]  # fmt: skip
    assert depot.entries("name") == []
    digest = depot.download("name/objects/abc", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()
    assert digest == depot.download("name/objects/abc", None)
    depot.delete("name/objects/abc")
    depot.delete("name/objects/abc")
    assert depot.download("name/objects/abc", None) is None


def test_of_many_writers_at_once_one_creates_and_none_loses_a_swap(depot: Depot) -> None:
    def make(n: int) -> bool:
        return depot.create("new", f"{n}".encode())

    def add(n: int) -> None:
        while True:
            found = depot.read("set")
            content = json.dumps([*(json.loads(found.content) if found else []), n])
            if depot.swap("set", content.encode(), found.tag if found else None):
                return

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(make, range(12))) == 1
        list(pool.map(add, range(12)))
    assert sorted(json.loads(depot.read("set").content)) == list(range(12))


# --------------------------------------------------------------------------------- whole versions


def test_release_verify_diff_and_checkout_are_the_same_everywhere(stored: Shop) -> None:
    versions = released(stored, 40, 45)
    assert versions.known() == ["1.0.0", "1.1.0"]
    assert names_in(stored.store) == ["shop"]
    assert verify(versions, "latest").faults == {}
    found = api.difference("shop@1.0.0", "shop", store=stored.store)
    assert next(one for one in found if one.config == "all").counts["added"] == 5
    check_out(versions, "1.1.0", stored.folder / "out")
    rows = pl.read_parquet(stored.folder / "out/data/all/everything-*.parquet")
    assert rows["row_id"].to_list() == api.show(
        "long", "shop", runs=stored.folder / "runs")["row_id"].to_list()  # fmt: skip
    assert {path.name for path in (stored.folder / "out").iterdir()} == {
        "README.md", "data", "lineage", "manifest.json", "recipe.yaml"
    }  # fmt: skip


def test_a_checkout_is_a_folder_that_datasets_loads_in_part_too(stored: Shop) -> None:
    versions = released(stored, 30)
    check_out(versions, "latest", stored.folder / "part", config="sft", split="dev")
    import datasets

    cache = str(stored.folder / "hf")
    rows = datasets.load_dataset(str(stored.folder / "part"), "sft", split="dev", cache_dir=cache)
    assert len(rows) == versions.read("latest").configs["sft"]["dev"].rows
    assert list((stored.folder / "part/data").glob("*/train-*")) == []
    text = (stored.folder / "part/README.md").read_text("utf-8")
    assert "Taken out in part: sft/dev." in text
    with pytest.raises(RecipeError, match=r"no split 'deb'.*'dev'"):
        check_out(versions, "latest", stored.folder / "x", split="deb")
    with pytest.raises(RecipeError, match="no configuration 'dpo'"):
        check_out(versions, "latest", stored.folder / "x", config="dpo")
    with pytest.raises(StoreError, match="not empty"):
        check_out(versions, "latest", stored.folder / "part")


def test_a_damaged_or_missing_file_is_named_with_what_is_still_whole(stored: Shop) -> None:
    versions = released(stored, 30)
    bad, gone = "data/sft/train-00000.parquet", "README.md"
    damage(versions, object_of(versions, bad))
    unlock(versions)
    versions.depot.delete(object_of(versions, gone))
    found = verify(versions, "latest")
    assert found.faults == {bad: "changed", gone: "missing"}
    assert found.intact["all/everything"] == 30
    with pytest.raises(
        StoreError, match=r"train-00000.parquet is not as it was|README.md is missing"
    ):
        check_out(versions, "latest", stored.folder / "out")
    assert not (stored.folder / "out").exists()


def test_a_checkout_that_was_stopped_goes_on(stored: Shop, monkeypatch) -> None:
    versions = released(stored, 30)
    copied = []
    real = type(versions.depot).download

    def failing(self, key, to):
        if len(copied) == 3:
            message = "stopped"
            raise KeyboardInterrupt(message)
        copied.append(key)
        return real(self, key, to)

    monkeypatch.setattr("databuild.release.checkout.AT_ONCE", 1)
    monkeypatch.setattr(type(versions.depot), "download", failing)
    with pytest.raises(KeyboardInterrupt):
        check_out(versions, "latest", stored.folder / "out")
    assert not (stored.folder / "out").exists()
    copied.clear()

    def noting(self: Any, key: str, to: Path) -> str | None:
        copied.append(key)
        return real(self, key, to)

    monkeypatch.setattr(type(versions.depot), "download", noting)
    check_out(versions, "latest", stored.folder / "out")
    assert len(copied) == len(versions.read("latest").files) - 3


def test_what_an_earlier_version_has_is_not_written_again_and_both_are_told(stored: Shop) -> None:
    from databuild.release.sending import Sent

    stored.run(tickets(30))
    stored.release()
    sent = Sent()
    stored.run(tickets(30), **{"CC-BY-4.0": "CC0-1.0"})
    api.release(stored.folder / "shop.yaml", "shop@auto", store=stored.store,
                runs=stored.folder / "runs", sent=sent)  # fmt: skip
    assert sent.new_files == 2  # the card and the recipe
    assert sent.shared_files == len(versions_of(stored).read("latest").files) - 2


def test_of_two_releases_at_once_one_wins_and_the_other_is_told(stored: Shop) -> None:
    stored.run(tickets(20))
    slow = versions_of(stored)
    making = slow.making("1.0.0")
    folder = making.__enter__()
    stored.release("shop@1.0.0")
    before = slow.read("1.0.0")
    (folder / "manifest.json").write_text(json.dumps({"files": [], "version": "1.0.0"}))
    with pytest.raises(StoreError, match="released by somebody else"):
        making.__exit__(None, None, None)
    assert slow.read("1.0.0") == before


def test_taggers_at_once_lose_nothing(stored: Shop) -> None:
    versions = released(stored, 10)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: versions_of(stored).point(**{f"tag{n}": "1.0.0"}), range(12)))
    assert {f"tag{n}" for n in range(12)} < set(versions.pointers())


def test_a_gate_that_is_not_passed_leaves_no_row_in_an_object_store(
    s3: str, tmp_path: Path
) -> None:
    stored = Shop(tmp_path, s3)
    twins = [{**row, "response": f"Other {n}."} for n, row in enumerate(tickets(20))]
    stored.run([*tickets(20), *twins])
    with pytest.raises(StepError, match="gate `leak`"):
        stored.release()
    assert versions_of(stored).depot.entries("shop/objects") == []
    assert list((tmp_path / "cache").rglob("*.parquet")) == []


def test_a_release_that_was_killed_while_sending_is_invisible_and_goes_on(
    s3: str, tmp_path
) -> None:
    stored = Shop(tmp_path, s3)
    stored.run(tickets(20))
    killed = """
import os, signal, sys
from databuild import api
from databuild.release import sending
from databuild.release.buckets import Bucket
sending.AT_ONCE = 1
real, n = Bucket.upload, []
def upload(self, path, key):
    if len(n) == 3: os.kill(os.getpid(), signal.SIGKILL)
    n.append(real(self, path, key))
Bucket.upload = upload
api.release(sys.argv[1] + "/shop.yaml", "shop@1.0.0", store=sys.argv[2], runs=sys.argv[1] + "/runs")
"""
    run = subprocess.run([sys.executable, "-c", killed, str(tmp_path), s3], check=False)
    assert run.returncode == -signal.SIGKILL
    versions = versions_of(stored)
    assert versions.known() == []
    assert len(versions.depot.entries("shop/objects")) == 3
    from databuild.release.sending import Sent

    sent = Sent()
    made, where = api.release(tmp_path / "shop.yaml", "shop@1.0.0", store=s3, runs=tmp_path / "runs", sent=sent)  # fmt: skip
    assert where == f"{s3}/shop/1.0.0"
    assert sent.shared_files >= 2  # the data; the lineage; not the card, whose head has a date
    assert sent.new_files + sent.shared_files == len(made.files)
    assert list((tmp_path / "cache/databuild/stores/staging").rglob("*.parquet")) == []
    assert verify(versions, "1.0.0").faults == {}


# ---------------------------------------------------------------------------------- clearing out


def test_gc_removes_what_no_version_has_and_says_how_much(stored: Shop, tmp_path: Path) -> None:
    versions = released(stored, 20)
    stray = tmp_path / "stray"
    stray.write_bytes(b"y" * 1000)
    versions.depot.upload(stray, "shop/objects/" + "0" * 64)
    dry = clear(versions, dry_run=True)
    assert (dry.objects, dry.bytes, dry.versions) == (1, 1000, [])
    done = clear(versions)
    assert (done.objects, done.bytes) == (1, 1000)
    assert clear(versions).objects == 0
    assert verify(versions, "latest").faults == {}


def test_gc_keeps_what_is_pointed_at_trained_on_or_named_and_never_gives_a_number_again(
    stored: Shop,
) -> None:
    versions = released(stored, 10, 12, 14, 16, 18, 20)
    versions.point(production="1.1.0")
    named = versions.read("1.2.0")
    note = json.dumps({"model": "m", "trained_on": named.fingerprint}).encode()
    versions.depot.create("shop/models/m.json", note)
    found = clear(versions, keep=2)
    assert found.versions == ["1.0.0", "1.3.0"]
    assert found.kept == {"1.1.0": "it is production", "1.2.0": "shop/models/m.json names it"}
    assert found.objects > 0
    assert found.bytes > 0
    assert versions.known() == ["1.1.0", "1.2.0", "1.4.0", "1.5.0"]
    for one in versions.known():
        assert verify(versions, one).faults == {}
    assert set(versions.removed()) == {"1.0.0", "1.3.0"}
    with pytest.raises(StoreError, match=r"'1.3.0' \(was removed on 2"):
        versions.read("1.3.0")
    with pytest.raises(RecipeError, match="never changes"):
        stored.release("shop@1.3.0")
    assert clear(versions, keep=1, keep_days=1).versions == []


def test_a_clearing_out_that_was_killed_is_ended_by_the_next(stored: Shop, monkeypatch) -> None:
    versions = released(stored, 10, 12)
    with monkeypatch.context() as patch:
        patch.setattr("databuild.release.clearing._remove_version", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            clear(versions, keep=1)
    assert versions.known() == ["1.1.0"]
    clear(versions)
    assert versions.depot.read("shop/1.0.0/manifest.json") is None
    needed = {one.sha256 for one in versions.read("1.1.0").files}
    assert {one.key.rpartition("/")[2] for one in versions.depot.entries("shop/objects")} == needed


def test_gc_and_a_release_never_meet(stored: Shop) -> None:
    versions = released(stored, 10)
    with lease(versions.depot, "shop", RELEASE):
        with pytest.raises(StoreError, match="somebody works here"):
            clear(versions)
        with lease(versions.depot, "shop", RELEASE):
            pass
    with lease(versions.depot, "shop", GC), pytest.raises(StoreError, match="somebody works here"):
        stored.release("shop@9.0.0")
    assert clear(versions).objects == 0
    assert versions.depot.entries("shop/.leases") == []


def test_a_name_is_never_given_to_what_gc_removes(stored: Shop) -> None:
    versions = released(stored, 10, 12)
    with lease(versions.depot, "shop", GC), pytest.raises(StoreError, match="somebody works here"):
        point(versions, best="1.0.0")
    point(versions, best="1.0.0")
    assert clear(versions, keep=1).kept == {"1.0.0": "it is best"}
    point(versions, best="1.1.0")
    assert clear(versions, keep=1).versions == ["1.0.0"]
    with pytest.raises(StoreError):
        point(versions, best="1.0.0")
    assert versions.pointers()["best"] == "1.1.0"


def test_gc_leaves_what_is_noted_of_models_and_withdrawals(stored: Shop) -> None:
    versions = released(stored, 10, 12)
    noted = [f"shop/{kind}/one.json" for kind in ("models", "withdrawals", "purging")]
    for key in noted:
        versions.depot.create(key, b"{}")
    assert clear(versions, keep=1).versions == ["1.0.0"]
    assert all(versions.depot.read(key) for key in noted)


def test_gc_touches_nothing_when_a_manifest_cannot_be_read(stored: Shop) -> None:
    versions = released(stored, 10, 12)
    key = "shop/1.0.0/manifest.json"
    unlock(versions)
    versions.depot.delete(key)
    versions.depot.create(key, b"{broken")
    before = versions.depot.entries("shop/objects")
    with pytest.raises(StoreError, match="cannot be read"):
        clear(versions, keep=1)
    assert versions.depot.entries("shop/objects") == before


def test_a_holder_is_dead_when_it_is_silent_or_its_process_is_gone_here(
    stored: Shop, monkeypatch
) -> None:
    depot = versions_of(stored).depot
    with lease(depot, "shop", RELEASE) as ours:
        far = {"host": "elsewhere", "space": "another boot", "pid": 1, "what": RELEASE}
        depot.create("shop/.leases/release-far00001", json.dumps(far).encode())
        gone = multiprocessing.get_context("spawn").Process(target=int)
        gone.start()
        gone.join()
        here = {**leases._self(), "pid": gone.pid, "born": "1", "what": RELEASE}
        depot.create("shop/.leases/release-here0001", json.dumps(here).encode())
        assert set(living(depot, "shop", besides=ours.token)) == {"far00001"}
        monkeypatch.setattr(leases, "DEAD_S", -1.0)
        assert living(depot, "shop", besides=ours.token) == {}
        depot.delete(ours.key)
        with pytest.raises(StoreError, match="was silent"):
            ours.check()


def test_a_live_release_of_another_container_is_not_swept(tmp_path: Path) -> None:
    stored = Shop(tmp_path)
    stored.run(tickets(10))
    versions = versions_of(stored)
    staging = versions.root / ".1.0.0.feed0001"
    staging.mkdir(parents=True)
    far = {"host": "elsewhere", "space": "another boot", "pid": os.getpid(), "what": RELEASE}
    versions.depot.create("shop/.leases/release-feed0001", json.dumps(far).encode())
    stored.release("shop@1.1.0")
    assert staging.is_dir()
    versions.depot.delete("shop/.leases/release-feed0001")
    stored.release("shop@1.2.0")
    assert not staging.exists()


def test_an_older_format_and_a_url_of_no_kind_are_refused_with_the_way_out(stored: Shop) -> None:
    versions = released(stored, 10)
    key = "shop/1.0.0/manifest.json"
    content = json.loads(versions.depot.read(key).content)
    unlock(versions)
    versions.depot.delete(key)
    versions.depot.create(key, json.dumps({**content, "format": 0, "databuild": "0.0.1"}).encode())
    with pytest.raises(StoreError, match=r"format 0.*read it with the databuild.*0\.0\.1"):
        versions.read("1.0.0")
    with pytest.raises(StoreError, match="cannot lie at ftp://x"):
        opened("ftp://x")


def test_a_store_that_refuses_or_is_not_there_is_one_clear_error(s3: str, monkeypatch) -> None:
    missing = s3.replace("test-", "no-such-")
    with pytest.raises(StoreError, match=r"NoSuchBucket.*make the bucket"):
        names_in(missing)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StoreError, match=r"object store refuses.*AWS_ACCESS_KEY_ID") as told:
        names_in(s3)
    assert "wrong" not in str(told.value)


def unlock(versions: Versions) -> None:
    """Versions in folders are read-only; whoever damages one has made it writable."""
    if isinstance(versions.depot, Folder):
        for path in [versions.root, *versions.root.rglob("*")]:
            path.chmod(0o755)


def damage(versions: Versions, key: str) -> None:
    """Flip a byte of a file where it lies."""
    unlock(versions)
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        versions.depot.download(key, copy)
        content = bytearray(copy.read_bytes())
        content[50] ^= 1
        copy.write_bytes(content)
        versions.depot.delete(key)
        versions.depot.upload(copy, key)
