"""Writes the generated parts of the documentation: the commands from their help texts, the fields from the schema.

python docs/reference.py
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- made by docs/reference.py -->", "<!-- until here -->"
HELP_WIDTH = 110


def outputs_page() -> str:
    """docs/outputs.md with the table of metrics.json's fields, from the schema."""
    schema = json.loads((ROOT / "block/report/metrics.schema.json").read_text(encoding="utf-8"))
    rows = [f"| `{path}` | {kind} | {unit} | {text} |" for path, kind, unit, text in fields(schema, schema)]
    table = ["| field | type | unit | description |", "|---|---|---|---|", *rows]
    return _filled(ROOT / "docs/outputs.md", "\n".join(table))


def commands_page() -> str:
    """docs/commands.md: the output of `--help` of every command."""
    parts = ["# Commands\n\nThe output of `--help` of every command. `python docs/reference.py` writes this page.\n"]
    parts += [f"## {name}\n\n```\n{help_text(command, name)}\n```\n" for name, command in commands()]
    return "\n".join(parts)


def readme() -> str:
    """README.md with a table row for every command."""
    rows = [f"| `{name}` | {_summary(command)} |" for name, command in commands()]
    table = ["| command | what it does |", "|---|---|", *rows]
    return _filled(ROOT / "README.md", "\n".join(table))


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yields every command and its name as typed on the command line."""
    from block.__main__ import block
    from esp32_deploy.__main__ import main
    from train import train

    yield "python train.py", train
    for module, group in (("block", block), ("esp32_deploy", main)):
        for name, command in group.commands.items():
            yield f"python -m {module} {name}", command


def help_text(command: click.Command, name: str) -> str:
    """The output of a command's --help."""
    with click.Context(command, info_name=name, terminal_width=HELP_WIDTH, max_content_width=HELP_WIDTH) as context:
        return command.get_help(context)


def fields(schema: dict[str, Any], part: dict[str, Any], path: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Yields path, type, unit and description of `part` of a JSON schema, and of every field in it."""
    if path:
        yield path, _kind(part), part.get("unit", ""), part["description"]
    for name, child in part.get("properties", {}).items():
        yield from fields(schema, child, f"{path}.{name}" if path else name)
    if isinstance(part.get("additionalProperties"), dict):
        child, key = part["additionalProperties"], part["key"]
        for choice in child.get("anyOf", [child]):
            its = schema["$defs"][choice["$ref"].rsplit("/", 1)[1]] if "$ref" in choice else choice
            yield from fields(schema, its, f"{path}.<{key}>")
    if "items" in part and ("properties" in part["items"] or "items" in part["items"] or "unit" in part["items"]):
        yield from fields(schema, part["items"], f"{path}[]")


def _kind(part: dict[str, Any]) -> str:
    if "const" in part:
        return f"`{json.dumps(part['const'])}`"
    if "enum" in part:
        return " or ".join(f"`{json.dumps(value)}`" for value in part["enum"])
    kinds = part["type"] if isinstance(part["type"], list) else [part["type"]]
    return " or ".join(kinds)


def _summary(command: click.Command) -> str:
    return (command.help or "").strip().split("\n\n")[0].replace("\n", " ")


def _filled(path: Path, text: str) -> str:
    before, rest = path.read_text(encoding="utf-8").split(BEGIN)
    return f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}"


PAGES = {"README.md": readme, "docs/commands.md": commands_page, "docs/outputs.md": outputs_page}


if __name__ == "__main__":
    # train.py is not part of the installed package.
    sys.path.insert(0, str(ROOT))
    for name, make in PAGES.items():
        (ROOT / name).write_text(make(), encoding="utf-8")
