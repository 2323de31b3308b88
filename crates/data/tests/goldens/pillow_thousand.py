"""Writes pillow_thousand.txt: hashes of 1,000 resized images, in both orders of the passes.

    pip install pillow==12.1.1 numpy && python pillow_thousand.py > horizontal.txt
    pip install pillow==13.0.0 && python pillow_thousand.py > pillow13.txt
    join -j 1 horizontal.txt pillow13.txt > pillow_thousand.txt

A line is the case's number, what Pillow 12.1 (along the rows first) and what Pillow 13.0 made of it:
CRC-32 of the pixels. 12.2 and 12.3
differ from 12.1 for images over 100 times as tall as wide. Sizes, filter and pixels of a case follow from its number, here and in
tests/pillow_thousand.rs, so no image is kept.
"""
import zlib

import numpy as np
from PIL import Image

FILTERS = [Image.BOX, Image.BILINEAR, Image.BICUBIC, Image.LANCZOS]
CHANNELS = [1, 3, 4]
MODES = {1: "L", 3: "RGB", 4: "RGBX"}  # "RGBX": four independent bytes; Pillow premultiplies "RGBA"


def splitmix(state):
    """The output of SplitMix64 for each state of an array."""
    z = state * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return z ^ z >> np.uint64(31)


def side(draw, most):
    """1 to `most`, small sides as often as large ones: a power of two, then below it."""
    bits = int(draw) % most.bit_length()
    return 1 + (int(draw) >> 32) % min(most, 2 << bits)


def case(number):
    draws = splitmix(np.uint64(number << 8) + np.arange(1, 5, dtype=np.uint64))
    width, height, new_width, new_height = (side(draw, most) for draw, most in zip(draws, (400, 400, 300, 300)))
    channels, filter = CHANNELS[number % 3], FILTERS[number // 3 % 4]
    count = width * height * channels
    words = splitmix(np.uint64(number << 32) + np.arange(count, dtype=np.uint64))
    noise = words >> np.uint64(56)
    i = np.arange(count)
    column, row = i // channels % width, i // channels // width
    slopes = (column * (number % 7) + row * (number % 5) + i % channels * 80) % 256
    pixels = (noise if number % 2 else slopes).astype(np.uint8)
    image = Image.frombytes(MODES[channels], (width, height), pixels.tobytes())
    return image.resize((new_width, new_height), filter)


if __name__ == "__main__":
    for number in range(1000):
        print(f"{number:03} {zlib.crc32(case(number).tobytes()):08x}")
