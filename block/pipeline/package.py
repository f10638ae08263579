"""What a run ends with, the Arduino library and the page: stages that may fail without harm to what was learned."""

from block import console
from block.pipeline.run import Run

STAGES = LIBRARY, REPORT = ("Arduino library", "report")


def package(run: Run, stages: console.Stages) -> None:
    """`<library-name>.zip` in the output folder; what fails is a warning with the command that tries again."""
    from block.report import results
    from esp32_deploy.arduino import library

    outputs, name = run.outputs, run.settings.library_name
    path = outputs.library(name)
    again = console.command("-m", "esp32_deploy", "package", outputs.tflite_int8, "--name", name, "--out", path)
    with (
        console.tolerated(f"the models are there, but {path.name} could not be made", again, run.debug),
        stages.run(LIBRARY) as notes,
    ):
        # deploy.json is the last file that judging writes
        known = None if outputs.deploy.exists() else results.board_manifest(run.settings, run.data)
        made = library.package(outputs.tflite_int8, path, known, samples=run.data.validation.features)
        notes.append(console.size_text(made.zip_bytes))
        if known:
            notes.append("without figures, and with the default threshold")
        if made.refusal:
            notes.append(f"runs TensorFlow Lite Micro's interpreter. {made.refusal}")


def write_report(run: Run, stages: console.Stages) -> None:
    """report.html in the output folder; what fails is a warning with the command that tries again."""
    from block.report import page

    outputs = run.outputs
    again = console.command("-m", "block", "report", outputs.directory, "--data-directory", run.data.directory)
    with (
        console.tolerated(f"everything but {outputs.report.name} is there; making that failed", again, run.debug),
        stages.run(REPORT) as notes,
        console.foreign_output_hidden(run.debug),
    ):
        page.write(outputs, run.data)
        notes.append(console.size_text(outputs.report.stat().st_size))
