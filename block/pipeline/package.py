"""The chapter of a run in which the int8 model becomes an Arduino library; may fail without harm to the model."""

from block import console
from block.pipeline.run import Run, network_shape
from esp32_deploy.manifest import Manifest, colour_of

STAGE = "Arduino library"


def package(run: Run, stages: console.Stages) -> None:
    """`<library-name>.zip` in the output folder; what fails is a warning with the command that tries again."""
    from esp32_deploy import library

    outputs, name = run.outputs, run.settings.library_name
    # the streaming compiler does not know products of matrices: these models take the interpreter
    runtime: library.Runtime = "tflm" if network_shape(run).attention else "stream"
    path = outputs.library(name)
    choices = ("--name", name, "--out", path, "--runtime", runtime)
    again = console.command("-m", "esp32_deploy", "package", outputs.tflite_int8, *choices)
    with (
        console.tolerated(f"the models are there, but {path.name} could not be made", again, run.debug),
        stages.run(STAGE) as notes,
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
