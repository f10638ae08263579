"""The chapter of a run in which the int8 model becomes an Arduino library; may fail without harm to the model."""

from block import checkpoint, console
from block.checkpoint import Run
from block.console import say, warn

STAGES = ("Arduino library",)


def package(run: Run, stages: console.Stages) -> None:
    """`<library-name>.zip` in the output folder; what fails is a warning with the command that tries again."""
    from esp32_deploy import library

    outputs, name = run.outputs, run.settings.library_name
    # the streaming compiler does not know products of matrices: these models take the interpreter
    runtime: library.Runtime = "tflm" if checkpoint.network_shape(run).attention else "stream"
    path = outputs.library(name)
    try:
        with stages.run("Arduino library") as notes:
            made = library.package(outputs.tflite_int8, path, runtime=runtime, samples=run.data.validation.features)
            notes.append(console.size_text(made.zip_bytes))
            if runtime == "tflm":
                notes.append("runs TensorFlow Lite Micro's interpreter, which --attention needs")
    except Exception as error:
        if run.debug:
            raise
        reason = " ".join(str(error).split())
        warn(f"the models are there, but {path.name} could not be made: {type(error).__name__}: {reason}")
        model = outputs.tflite_int8
        choices = ("--name", name, "--out", path, "--runtime", runtime)
        again = console.command("-m", "esp32_deploy", "package", model, *choices)
        say(f"To try that again: {again}")
