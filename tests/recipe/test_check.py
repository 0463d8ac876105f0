"""Whatever is mistyped is found before anything runs: where it stands, and what is near."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from databuild import api
from databuild.errors import DatabuildError, RecipeError, SchemaError

SHIPPED = Path(__file__).parents[2] / "recipes"
RECIPE = """\
name: support
seed: 7
plugins:
  - mine.py
models:
  start: {fake: {}}
steps:
  raw:
    use: ingest.files
    path: tickets.jsonl
  facts:
    use: measure.basics
    from: raw
    column: prompt
  clean:
    use: sample.where
    from: facts
    keep: prompt_words > 1
  split:
    use: sample.split
    from: clean
    parts: {train: 0.8, dev: 0.2}
  answers:
    use: generate.respond
    from: split.train
    model: start
    k: 2
  pool:
    use: sample.mix
    from:
      rows: answers
      others: split.dev
  scored: {use: mine.shout, from: answers}
  chosen:
    use: pairs.best
    from: scored
    score: loudness
  sft:
    use: train.sft
    from: chosen
    model: start
  again:
    use: generate.respond
    from: split.dev
    model: sft
"""
PLUGIN = """
import polars as pl
from databuild import StepConfig, step


class ShoutConfig(StepConfig):
    column: str = "response"


@step("mine.shout", kind="measure", sees="row", version=1, reads=("response",), adds=("loudness",))
def measure_shouting(rows: pl.DataFrame, config: ShoutConfig) -> pl.DataFrame:
    return rows.select("row_id", loudness=pl.col("response").str.len_chars() * 1.0)
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(PLUGIN)
    (tmp_path / "other.py").write_text("")
    (tmp_path / "tickets.jsonl").write_text('{"prompt": "Where is my parcel?"}\n')
    (tmp_path / "r.yaml").write_text(RECIPE)
    return tmp_path / "r.yaml"


def fault(recipe: Path, old: str, new: str) -> DatabuildError:
    text = recipe.read_text()
    assert text.count(old) == 1, f"{old!r} must be there once"
    recipe.write_text(text.replace(old, new))
    with pytest.raises(DatabuildError) as caught:
        api.check(recipe)
    return caught.value


def test_the_recipe_itself_is_right(recipe: Path) -> None:
    checked = api.check(recipe)
    assert [node.name for node in checked.nodes][:3] == ["raw", "facts", "clean"]
    by_name = {node.name: node for node in checked.nodes}
    assert "loudness" in (by_name["chosen"].columns or ())
    assert by_name["again"].after == {"split", "sft"}


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("from: facts", "from: fact", 17, r"'clean' takes its input from 'fact'; did you mean 'facts'"),
        ("others: split.dev", "others: splt.dev", 32, r"from 'splt'; did you mean 'split'"),
        ("use: sample.where", "use: sample.wher", 16, r"uses 'sample\.wher'; did you mean 'sample\.where'"),
        ("mine.shout,", "mine.shot,", 33, r"uses 'mine\.shot'; did you mean 'mine\.shout'"),
        ("    k: 2", "    kk: 2", 27, r"'answers' \(generate\.respond\) has no option 'kk'; did you mean 'k'"),
        ("    k: 2", "    k: 2\n    max_tokns: 5", 28, r"has no option 'max_tokns'; did you mean 'max_tokens'"),
        ("parts: {train", "parst: {train", 22, r"'split' \(sample\.split\) has no option 'parst'; did you mean 'parts'"),
        ("    k: 2", "    fron: raw", 27, r"has no option 'fron'; did you mean 'from'"),
        ("from: split.train", "from: split.trian", 25, r"'split' has no part 'trian'; did you mean 'train'"),
        ("from: split.train", "from: raw.train", 25, r"'raw' has no part 'train'; there are none"),
        ("from: clean", "from: {row: clean}", 21, r"has no input 'row'; did you mean 'rows'"),
        ("others: split.dev", "others: split.dev\n    weights: {rows: 1, other: 1}", 33, r"names the input 'other'; did you mean 'others'"),
        ("others: split.dev", "seed: split.dev", 32, r"cannot be called 'seed'"),
        ("      rows: answers\n      others: split.dev", "      {}", 28, r"misses its input 'rows'"),
        ("model: sft", "model: stf", 45, r"names the model 'stf'; did you mean 'sft'"),
        ("path: tickets.jsonl", "path: tikets.jsonl", 10, r"no file matches 'tikets\.jsonl'.*did you mean 'tickets\.jsonl'"),
        ("path: tickets.jsonl", "path: [tickets.jsonl, 't*.json']", 10, r"no file matches 't\*\.json'"),
        ("  - mine.py", "  - mien.py", 4, r"the plugin file 'mien\.py' does not exist; did you mean 'mine\.py'"),
        ("  start: {fake: {}}", "  start: {fak: {}}", 6, r"no field 'models\.start\.fak'; did you mean 'fake'"),
        ("{fake: {}}", "{fake: {skil_ratio: 1}}", 6, r"the model has no option 'skil_ratio'; did you mean 'skill_ratio'"),
        ("{fake: {}}", "{fake: {skill_ratio: 7}}", 6, r"model option 'skill_ratio': .*less than or equal to 1, given 7"),
        ("{fake: {}}", "smollm2", 6, r"no packaged model 'smollm2'"),
        ("{fake: {}}", "{packaged: smollm2-135m-instruct, options: {max_num_sequences: 2}}", 6, r"no option 'max_num_sequences'; did you mean 'max_num_seqs'"),
        ("{fake: {}}", "{path: ./weights}", 6, r"the model folder '\./weights' does not exist"),
        ("{fake: {}}", "{endpoint: 'localhost:8000', identity: m@1}", 6, r"url must look like http"),
        ("seed: 7", "sed: 7", 2, r"no field 'sed'; did you mean 'seed'"),
    ],
)  # fmt: skip
def test_a_typo_is_found_with_its_line_and_the_nearest_name(
    recipe: Path, old: str, new: str, line: int, message: str
) -> None:
    error = fault(recipe, old, new)
    assert isinstance(error, RecipeError)
    assert error.exit_code == 2
    assert error.where == f"{recipe}:{line}"
    assert re.search(message, str(error))


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("column: prompt", "column: promt", 14, r"needs the column 'promt', which its input 'rows' \(raw\) lacks; did you mean 'prompt'"),
        ("keep: prompt_words", "keep: prompt_wrds", 15, r"needs the column 'prompt_wrds'.*did you mean 'prompt_words'"),
        ("score: loudness", "score: loudnes", 37, r"needs the column 'loudnes'.*did you mean 'loudness'"),
        ("from: answers}", "from: split.dev}", 33, r"'scored' \(mine\.shout\) needs the column 'response'"),
        ("  clean:\n", "  twice: {use: measure.basics, from: facts, column: prompt}\n  clean:\n", 15, r"'twice' \(measure\.basics\) would overwrite the column 'prompt_chars'"),
    ],
)  # fmt: skip
def test_a_missing_column_is_found_with_its_line_and_the_nearest_name(
    recipe: Path, old: str, new: str, line: int, message: str
) -> None:
    error = fault(recipe, old, new)
    assert isinstance(error, SchemaError)
    assert error.exit_code == 3
    assert error.where == f"{recipe}:{line}"
    assert re.search(message, str(error))


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("    k: 2", "    k: two", 27, r"option 'k' of step 'answers' .*valid integer.*given 'two'"),
        ("    k: 2", "    k: 0", 27, r"greater than or equal to 1, given 0"),
        ("    k: 2", "    temperature: 0\n    k: 3", 23, r"temperature 0 gives the same answer 3 times"),
        ("    k: 2", "    max_failure_ratio: 2", 27, r"'steps\.answers\.max_failure_ratio'.*given 2"),
        ("{train: 0.8, dev: 0.2}", "{train: 0.8, dropped: 0.2}", 19, "cannot be called 'dropped'"),
        ("keep: prompt_words > 1", "keep: prompt_words >", 18, "option 'keep' of step 'clean'"),
        ("    parts: {train: 0.8, dev: 0.2}\n", "", 19, "option 'parts' of step 'split'.*field required"),
        ("    use: train.sft\n", "", 38, r"'steps\.sft\.use' is missing. Fix: add `use:`"),
        ("name: support\n", "", None, "'name' is missing. Fix: add `name:`"),
        ("name: support", "name: no good", 1, "'name': string should match pattern.*given 'no good'"),
        ("  facts:", "  1facts:", 11, "string should match pattern"),
        ("seed: 7", "seed: -1", 2, "'seed': input should be greater than or equal to 0, given -1"),
        ("{fake: {}}", "{fake: {}, path: x}", 6, "exactly one of packaged, path, endpoint, released and fake, not"),
        ("{fake: {}}", "{}", 6, "exactly one of"),
        ("{fake: {}}", '{endpoint: "http://localhost:1/v1"}', 6, "an endpoint needs `identity: name@revision`"),
        ("from: chosen", "from: sft", 38, "these steps wait for each other: sft. Fix: break the circle"),
        ("from: split.dev\n    model: sft", "from: sft\n    model: sft", 44, "takes rows from 'sft', which is a train step"),
        ("from: raw", "from: clean", 11, "wait for each other: clean, facts"),
        ("  clean:\n", "  prose: {use: ingest.files, path: tickets.jsonl, from: raw}\n  clean:\n", 15, r"\(ingest\.files\) reads files and takes no input"),
        ("    from: clean\n", "", 19, r"'split' \(sample\.split\) misses its input 'rows'. Fix: add `from: <step>`"),
        ("column: prompt", "column: '${colum}'", 11, r"\$\{colum\} is no variable"),
        ("  - mine.py", "  - other.py", 33, r"uses 'mine\.shout'; did you mean"),
        ("  - mine.py", "  - mine.py\n  - tickets.jsonl", None, "is not a Python file"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_a_recipe_error_with_its_line(
    recipe: Path, old: str, new: str, line: int | None, message: str
) -> None:
    error = fault(recipe, old, new)
    assert isinstance(error, RecipeError)
    assert re.search(message, str(error))
    if line is not None:
        assert error.where == f"{recipe}:{line}"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import nothing_like_it", "the plugin cannot be imported: ModuleNotFoundError"),
        ("def broken(:", "the plugin cannot be imported: SyntaxError"),
        (PLUGIN.replace("mine.shout", "measure.basics"), "declares the step 'measure.basics', which databuild.measure"),
        (PLUGIN.replace("ShoutConfig) ->", "dict) ->"), "which is no StepConfig"),
        (PLUGIN.replace("ShoutConfig) ->", "ShoutConfig, *, gpu: int) ->"), "unknown resource \\['gpu'\\]"),
    ],
)  # fmt: skip
def test_a_broken_plugin_says_what_is_wrong(recipe: Path, source: str, message: str) -> None:
    (recipe.parent / "mine.py").write_text(source)
    with pytest.raises(RecipeError, match=message):
        api.check(recipe)


def test_an_edited_plugin_is_loaded_again_in_the_same_process(recipe: Path) -> None:
    before = api.check(recipe).steps["mine.shout"]
    assert api.check(recipe).steps["mine.shout"] is before
    (recipe.parent / "mine.py").write_text(PLUGIN.replace("version=1", "version=2"))
    assert api.check(recipe).steps["mine.shout"].version == 2


def test_a_glob_may_match_several_files_and_paths_are_the_recipes(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (recipe.parent / "more.jsonl").write_text('{"prompt": "b"}\n')
    monkeypatch.chdir(recipe.parent.parent)
    checked = api.check(recipe, ["raw.path='*.jsonl'"])
    assert [path.name for path in checked.nodes[0].paths] == ["more.jsonl", "tickets.jsonl"]
    everywhere = api.check(recipe, [f"raw.path='{recipe.parent}/*.jsonl'"])
    assert everywhere.nodes[0].paths == checked.nodes[0].paths


def test_an_override_is_checked_as_what_it_overrides(recipe: Path) -> None:
    with pytest.raises(RecipeError, match=r"r\.yaml:27: .*valid integer.*given 'x'"):
        api.check(recipe, ["answers.k=x"])


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.name)
def test_the_shipped_recipes_are_right(path: Path) -> None:
    checked = api.check(path)
    rounds = checked.recipe.flywheel.rounds if checked.recipe.flywheel else 0
    assert {node.round for node in checked.nodes} >= {None, *range(1, rounds + 1)}


@pytest.mark.slow
def test_a_check_loads_nothing_heavy_and_opens_no_connection() -> None:
    code = f"""
import socket, sys
def refuse(*arguments, **named): raise SystemExit("a socket was opened")
socket.socket.__init__ = socket.getaddrinfo = refuse
from databuild import api
api.check({str(SHIPPED / "quickstart.yaml")!r})
heavy = ("torch", "vllm", "transformers", "datasets", "trl", "argilla", "ray", "scipy", "pyarrow", "datasketch")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
