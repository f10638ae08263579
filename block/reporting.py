"""The page at the end of a run: a stage that may fail without harm to what was learned."""

from block import console
from block.pipeline.run import Run

STAGE = "report"


def write_report(run: Run, stages: console.Stages) -> None:
    """report.html in the output folder; what fails is a warning with the command that tries again."""
    from block.report import page

    outputs = run.outputs
    again = console.command("-m", "block", "report", outputs.directory, "--data-directory", run.data.directory)
    with (
        console.tolerated(f"everything but {outputs.report.name} is there; making that failed", again, run.debug),
        stages.run(STAGE) as notes,
        console.foreign_output_hidden(run.debug),
    ):
        page.write(outputs, run.data)
        notes.append(console.size_text(outputs.report.stat().st_size))
