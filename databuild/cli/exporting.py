"""`databuild export`: a released version in the format of a trainer, or on a hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from databuild.cli import asking, telling
from databuild.cli.application import command
from databuild.cli.secrets import KeyEnv, KeyFile, secret_of
from databuild.errors import RecipeError

HUB = "hub"
To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="FORMAT",
        help="trl, openai, sharegpt, alpaca, llamafactory, axolotl, verl, openrlhf, megatron, hub.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Argument(metavar="OUT", help="A new folder; none for hub.", show_default=False),
]
Config = Annotated[
    str | None,
    typer.Option("--config", metavar="NAME", help="The configuration.", show_default=False),
]
Splits = Annotated[
    list[str] | None,
    typer.Option("--split", metavar="NAME", help="A split; without, all.", show_default=False),
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="OPTION=VALUE",
        help="An option of export.trainer, as type=rl or ground_truth=answer.",
        show_default=False,
    ),
]
Tokenizer = Annotated[
    Path | None,
    typer.Option(
        "--tokenizer", metavar="FOLDER", help="Of megatron: a model's folder.", show_default=False
    ),
]
Repo = Annotated[
    str | None,
    typer.Option("--repo", metavar="ORG/NAME", help="Of hub: where to.", show_default=False),
]


@command(
    "export",
    "Write a version in a trainer's format, or push it to a hub.",
    [
        "databuild export support-bot@1.2.0 --to trl pairs --config preference",
        "databuild export support-bot --to verl rl --set ground_truth=answer --set ability=math",
        "databuild export support-bot --to megatron tokens --tokenizer models/smollm2-135m",
        "databuild export support-bot@1.2.0 --to hub --repo org/support-bot",
    ],
)
def export(  # noqa: PLR0913, PLR0917 -- one parameter for each option of the command
    name: asking.VersionName,
    to: To,
    out: Out = None,
    config: Config = None,
    split: Splits = None,
    option: Options = None,
    tokenizer: Tokenizer = None,
    repo: Repo = None,
    public: Annotated[
        bool, typer.Option("--public", help="Of hub: let everybody see a new repository.")
    ] = False,
    key_env: KeyEnv = None,
    key_file: KeyFile = None,
    store: asking.Store = asking.STORE,
    as_json: asking.AsJson = False,
) -> None:
    """Write the rows of a version as the files that a trainer's own loader reads.

    Rows that the format cannot hold are left out, counted and named in skipped.jsonl; export.json
    says which version it is and has the checksum of every file. To a hub goes the version's folder
    as it is, in one commit; the token comes from HF_TOKEN.
    """
    from databuild.release.exporting import export_version
    from databuild.release.naming import read_reference
    from databuild.release.versions import at

    versions, version = at(store, read_reference(name))
    if to == HUB:
        from databuild.release.hub import push

        if repo is None or out is not None:
            raise RecipeError(
                "export", "a hub needs --repo and no folder", fix="give --repo ORG/NAME"
            )
        told = push(versions, version, repo, private=not public)
        if as_json:
            telling.write_json(told)
            return
        telling.say(f"{told['version']}: {told['files']} files in one commit, {told['url']}")
        return
    if out is None:
        raise RecipeError("export", "there is no folder to write to", fix="name one after --to")
    told = export_version(
        versions, version, to, out, config=config, splits=tuple(split or ()),
        options=_options(option, tokenizer),
        key=secret_of(key_env, key_file),
    )  # fmt: skip
    if as_json:
        telling.write_json({"folder": str(out), **told})
        return
    telling.say(f"{told['version']}, {told['configuration']}: {told['rows']:,} rows for {to}")
    for reason, n in list(told["by_reason"].items())[:5]:
        telling.say(f"  {n:,} left out: {reason}")
    for column, n in told.get("columns_left_out", {}).items():
        telling.say(f"  {n:,} values of {column} have no place in {to}")
    telling.say_path("folder", out)


def _options(given: list[str] | None, tokenizer: Path | None) -> dict[str, Any]:
    made = dict(_option(text) for text in given or ())
    return made if tokenizer is None else {**made, "tokenizer": tokenizer}


def _option(text: str) -> tuple[str, Any]:
    name, there, value = text.partition("=")
    if not there:
        raise RecipeError("export", f"--set {text!r} has no value", fix="write it as name=value")
    if name == "keep":
        return name, tuple(part.strip() for part in value.split(",") if part.strip())
    return name.strip(), value
