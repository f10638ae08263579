"""The page at the end of a run: a stage that may fail without harm to what was learned."""

from block import console
from block.checkpoint import Run
from block.console import say, warn

STAGES = ("report",)


def write_report(run: Run, stages: console.Stages) -> None:
    """report.html in the output folder; what fails is a warning with the command that tries again."""
    from block.report import page

    outputs = run.outputs
    try:
        with stages.run("report") as notes, console.foreign_output_hidden(run.debug):
            page.write(outputs, run.data)
            notes.append(console.size_text(outputs.report.stat().st_size))
    except Exception as error:
        if run.debug:
            raise
        reason = " ".join(str(error).split())
        warn(f"everything but {outputs.report.name} is there; making that failed: {type(error).__name__}: {reason}")
        again = console.command("-m", "block", "report", outputs.directory, "--data-directory", run.data.directory)
        say(f"To try that again: {again}")
