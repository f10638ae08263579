"""Entry point of the container. Trains on Studio's arrays or a folder of photos and exports models for a board.

python train.py --data-directory photos --out-directory out
"""

from typing import Any

import click

from block import options
from block.console import friendly_errors


@click.command(context_settings={"max_content_width": 110, "ignore_unknown_options": True, "allow_extra_args": True})
@options.contract_options
@options.studio_options
@options.detection_options
@options.photo_options
@options.debug_option
@click.pass_context
def train(context: click.Context, debug: bool, **values: Any) -> None:
    """Train an image network for a microcontroller from Studio's arrays or a folder of photos.

    Example: python train.py --data-directory photos --out-directory out --epochs 60
    """
    with friendly_errors(debug):
        settings = options.settings_from(values)
        from block import learn

        learn.run(settings, debug=debug, ignored=options.unknown_arguments(context))


if __name__ == "__main__":
    train()
