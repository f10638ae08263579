"""Draws docs/demo.jpg: test photos with the predictions of the int8 model.

python docs/picture.py demo/photos demo/out docs/demo.jpg
"""

import csv
from pathlib import Path

import click
from PIL import Image, ImageDraw, ImageFont, ImageOps

COLUMNS, ROWS = 8, 3
PHOTO_PX, CAPTION_PX, GAP_PX = 144, 20, 6
RIGHT, WRONG, WHITE = "#1a7f37", "#cf222e", "white"


@click.command()
@click.argument("photos", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("picture", type=click.Path(path_type=Path))
def draw(photos: Path, out: Path, picture: Path) -> None:
    """Draw a sample of the holdout photos of a run in OUT, with the int8 model's predictions, as PICTURE.

    PHOTOS is the folder of photos that the run was trained on.
    """
    with (out / "predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "holdout"]
    sheet = Image.new("RGB", (COLUMNS * (PHOTO_PX + GAP_PX) + GAP_PX, ROWS * (PHOTO_PX + CAPTION_PX + GAP_PX)), WHITE)
    for number, row in enumerate(_spread(rows, COLUMNS * ROWS)):
        left = GAP_PX + number % COLUMNS * (PHOTO_PX + GAP_PX)
        top = GAP_PX + number // COLUMNS * (PHOTO_PX + CAPTION_PX + GAP_PX)
        sheet.paste(ImageOps.fit(Image.open(photos / row["name"]).convert("RGB"), (PHOTO_PX, PHOTO_PX)), (left, top))
        colour = RIGHT if row["int8_label"] == row["label"] else WRONG
        caption = f"{row['int8_label']} {float(row['int8_confidence']):.0%}"
        ImageDraw.Draw(sheet).text((left, top + PHOTO_PX + 2), caption, colour, ImageFont.load_default(13))
    sheet.save(picture, quality=90, optimize=True)


def _spread(rows: list[dict[str, str]], count: int) -> list[dict[str, str]]:
    # Takes every n-th row, so that each class appears in proportion to its number of photos.
    return [rows[index * len(rows) // count] for index in range(min(count, len(rows)))]


if __name__ == "__main__":
    draw()
