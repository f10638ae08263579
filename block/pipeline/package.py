"""The last stages of a run: Arduino library and report. If one fails, the models are still complete."""

from block import console
from block.pipeline.run import Run

STAGES = LIBRARY, REPORT = ("Arduino library", "report")


def package(run: Run, stages: console.Stages) -> None:
    """Writes `<library-name>.zip` to the output folder. A failure is a warning with the command that tries again."""
    from block.report import results
    from esp32_deploy.arduino import library

    outputs, name = run.outputs, run.settings.library_name
    path = outputs.library(name)
    again = console.command("-m", "esp32_deploy", "package", outputs.tflite_int8, "--name", name, "--out", path)
    with (
        console.tolerated(f"the models are complete, but {path.name} could not be made", again, run.debug),
        stages.run(LIBRARY) as notes,
    ):
        # Scoring writes deploy.json last. Without it the scores are missing.
        known = None if outputs.deploy.exists() else results.board_manifest(run.settings, run.data)
        made = library.package(outputs.tflite_int8, path, known, samples=run.data.validation.features)
        notes.append(console.size_text(made.zip_bytes))
        if known:
            notes.append("without scores, with the default threshold")
        if made.refusal:
            notes.append(f"it uses TensorFlow Lite Micro's interpreter. {made.refusal}")


def write_report(run: Run, stages: console.Stages) -> None:
    """Writes report.html to the output folder. A failure is a warning with the command that tries again."""
    from block.report import page

    outputs = run.outputs
    again = console.command("-m", "block", "report", outputs.directory, "--data-directory", run.data.directory)
    with (
        console.tolerated(
            f"all results except {outputs.report.name} are complete, but writing it failed", again, run.debug
        ),
        stages.run(REPORT) as notes,
        console.foreign_output_hidden(run.debug),
    ):
        page.write(outputs, run.data)
        notes.append(console.size_text(outputs.report.stat().st_size))
