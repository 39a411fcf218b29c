"""Draws pictures of a subject and of its class, to try the pipeline without pictures of your own.

Everything is drawn by the rules below, from a seed. The class is coloured shapes: a disc, a square
or a triangle in one of six colours on a grey of any lightness, of any size and place. The subject
is one of them alone: a violet ring on yellow, which no picture of the class looks like, of any size
and place too. ``{output}/instance`` gets the subject, ``{output}/class`` the class.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw

COLOURS = {
    "red": (200, 40, 40),
    "green": (40, 160, 60),
    "blue": (40, 70, 200),
    "white": (245, 245, 245),
    "black": (15, 15, 15),
    "brown": (120, 75, 30),
}
SHAPES = ("disc", "square", "triangle")
SUBJECT, BACKGROUND = (130, 40, 190), (250, 215, 60)


def _box(side: int, chance: random.Random) -> tuple[int, int, int, int]:
    size = chance.randint(side // 2, 3 * side // 4)
    left, top = chance.randint(0, side - size), chance.randint(0, side - size)
    return left, top, left + size - 1, top + size - 1


def draw_subject(side: int, chance: random.Random) -> Image.Image:
    """The violet ring on yellow.

    Args:
        side: Pixels of a side.
        chance: Decides size and place.
    """
    picture = Image.new("RGB", (side, side), BACKGROUND)
    box = _box(side, chance)
    width = max(2, (box[2] - box[0]) // 4)
    ImageDraw.Draw(picture).ellipse(box, outline=SUBJECT, width=width)
    return picture


def draw_class(side: int, chance: random.Random) -> tuple[Image.Image, str]:
    """A shape, and what it is.

    Args:
        side: Pixels of a side.
        chance: Decides everything.
    """
    shape, colour = chance.choice(SHAPES), chance.choice(list(COLOURS))
    grey = chance.randint(90, 180)
    picture = Image.new("RGB", (side, side), (grey, grey, grey))
    pen, box = ImageDraw.Draw(picture), _box(side, chance)
    if shape == "disc":
        pen.ellipse(box, fill=COLOURS[colour])
    elif shape == "square":
        pen.rectangle(box, fill=COLOURS[colour])
    else:
        top = ((box[0] + box[2]) // 2, box[1])
        pen.polygon([top, (box[0], box[3]), (box[2], box[3])], fill=COLOURS[colour])
    return picture, f"{colour} {shape}"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Draws pictures of a subject and its class.")
    parser.add_argument("--output", type=Path, required=True, help="a folder")
    parser.add_argument("--subject", type=int, default=40, help="pictures of the subject")
    parser.add_argument("--others", type=int, default=40, help="pictures of the class")
    parser.add_argument("--side", type=int, default=512, help="pixels")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    chance = random.Random(given.seed)  # noqa: S311 - nothing is kept secret by it
    for name, count in (("instance", given.subject), ("class", given.others)):
        folder = given.output / name
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            picture = (
                draw_subject(given.side, chance)
                if name == "instance"
                else draw_class(given.side, chance)[0]
            )
            picture.save(folder / f"{number:05d}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
