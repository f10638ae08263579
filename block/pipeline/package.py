"""What a run ends with, the Arduino library and the page: stages that may fail without harm to what was learned."""

from block import console
from block.pipeline.run import Run, network_shape
from esp32_deploy.manifest import Manifest
from esp32_deploy.words import colour_of

STAGES = LIBRARY, REPORT = ("Arduino library", "report")


def package(run: Run, stages: console.Stages) -> None:
    """`<library-name>.zip` in the output folder; what fails is a warning with the command that tries again."""
    from esp32_deploy.arduino import library

    outputs, name = run.outputs, run.settings.library_name
    # the streaming compiler does not know products of matrices: these models take the interpreter
    runtime: library.Runtime = "tflm" if network_shape(run).attention else "stream"
    path = outputs.library(name)
    choices = ("--name", name, "--out", path, "--runtime", runtime)
    again = console.command("-m", "esp32_deploy", "package", outputs.tflite_int8, *choices)
    with (
        console.tolerated(f"the models are there, but {path.name} could not be made", again, run.debug),
        stages.run(LIBRARY) as notes,
    ):
        # deploy.json is the last that judging writes
        known = None if outputs.deploy.exists() else unjudged(run)
        samples = run.data.validation.features
        made = library.package(outputs.tflite_int8, path, known, runtime=runtime, samples=samples)
        notes.append(console.size_text(made.zip_bytes))
        if known:
            notes.append("without figures, and with the usual threshold")
        if runtime == "tflm":
            notes.append("runs TensorFlow Lite Micro's interpreter, which --attention needs")


def unjudged(run: Run) -> Manifest:
    """What a board must know of a model that could not be judged."""
    settings, data = run.settings, run.data
    return Manifest(
        name=settings.library_name,
        task=data.task,
        labels=data.classes,
        colour=colour_of(data.channels),
        resize=data.preparation.get("resize_mode"),
        decode=settings.decode if data.task == "detection" else None,
    )


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
