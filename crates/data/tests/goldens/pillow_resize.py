"""Writes pillow_resize.txt: hashes of images that Pillow resized and ADM's recipe cropped.

    pip install pillow==12.0.0 numpy && python pillow_resize.py > pillow_resize.txt

Any Pillow from 9.5 to 12.3 gives the same file. Pillow 13.0 runs the vertical pass first for some
images, and then gives other bytes; pillow_thousand.py has both orders.
"""
import numpy as np
import PIL
from PIL import Image

FILTERS = {"box": Image.BOX, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}


def picture(kind, width, height, channels):
    """Noise, or slopes with steps; the test in resize.rs makes the same bytes."""
    i = np.arange(width * height * channels, dtype=np.uint64)
    if kind == "noise":
        x = (i * 2654435761 + 12345) & 0xFFFFFFFF
        x ^= x >> 15
        values = ((x * 2246822519) & 0xFFFFFFFF) >> 24
    else:
        column, row = i // channels % width, i // channels // width
        values = (column * 7 + row * 5 + i % channels * 80) % 256
    shape = (height, width) if channels == 1 else (height, width, channels)
    return Image.fromarray(values.astype(np.uint8).reshape(shape))


def centre_crop(image, size):
    """The recipe in words: halve by BOX, one BICUBIC to the short side, cut the middle."""
    while min(image.size) >= 2 * size:
        image = image.resize((image.width // 2, image.height // 2), Image.BOX)
    factor = size / min(image.size)
    image = image.resize(tuple(round(side * factor) for side in image.size), Image.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))


def fnv(image):
    value = 0xCBF29CE484222325
    for byte in image.tobytes():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


RESIZES = [
    ("box", 1000, 750, 500, 375), ("bicubic", 500, 375, 341, 256), ("bicubic", 64, 64, 256, 256),
    ("bicubic", 178, 218, 64, 78), ("bicubic", 333, 500, 256, 384), ("bilinear", 500, 375, 299, 299),
    ("bilinear", 32, 32, 299, 299), ("box", 101, 77, 50, 38), ("box", 37, 53, 90, 53),
    ("bicubic", 37, 53, 37, 20), ("bicubic", 1, 1, 7, 5), ("bicubic", 300, 2, 3, 9),
    ("bilinear", 24, 286, 215, 74), ("bicubic", 134, 284, 121, 100), ("box", 208, 259, 88, 16),
]
CROPS = [
    (178, 218, 64), (500, 375, 256), (375, 500, 256), (1000, 750, 256), (2049, 1025, 256), (32, 32, 32),
    (33, 32, 16), (100, 37, 64), (511, 513, 256), (640, 480, 32), (5, 300, 8), (256, 257, 256),
    (103, 364, 64), (6, 4, 3),  # the last rounds 4.5 to 4
]

if __name__ == "__main__":
    print(f"# made by pillow_resize.py with Pillow {PIL.__version__}")
    print("# picture width height channels | resize filter width height, or crop size | FNV-1a of the bytes")
    for number, (name, width, height, new_width, new_height) in enumerate(RESIZES):
        for kind in ("noise", "slopes"):
            channels = (3, 1, 4)[number % 3]
            image = picture(kind, width, height, channels)
            if channels == 4:  # "RGBX": four independent bytes; Pillow premultiplies "RGBA"
                image = Image.frombytes("RGBX", image.size, image.tobytes())
            resized = image.resize((new_width, new_height), FILTERS[name])
            print(kind, width, height, channels, "resize", name, new_width, new_height, fnv(resized))
    for width, height, size in CROPS:
        for kind in ("noise", "slopes"):
            print(kind, width, height, 3, "crop", size, fnv(centre_crop(picture(kind, width, height, 3), size)))
