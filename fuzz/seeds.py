"""Writes the seeds in corpus/: small valid files, one or two a target.

Run with Python 3 with numpy and Pillow, in this folder. The files depend on nothing but this script
and the two libraries' encoders (written with numpy 2.4 and Pillow 13.0).
"""

import io
import json
import pathlib
import struct
import tarfile
import zipfile

import numpy as np
from PIL import Image

CORPUS = pathlib.Path("corpus")


def write(target, name, content):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def encoded(kind, mode="RGB", **options):
    pixels = (np.arange(6 * 5 * 3) * 7 % 256).astype(np.uint8).reshape(6, 5, 3)
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, kind, **options)
    return out.getvalue()


def npy(array):
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def tar(members, form):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    # One record of 10,240 bytes holds mostly zeros; two blocks of them are the end marker.
    return out.getvalue().rstrip(b"\0") + bytes(1536)


def zipped(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content, method in members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def main():
    png, jpeg = encoded("PNG"), encoded("JPEG")
    images = (np.arange(2 * 2 * 3 * 3) % 256).astype(np.uint8).reshape(2, 2, 3, 3)
    labels = np.array([1, 0])

    labelled = [("a/0.png", png), ("a/0.cls", b"3"), ("a/1.jpg", jpeg), ("a/1.json", b'{"label": 1}')]
    write("tar", "labelled.tar", tar(labelled, tarfile.USTAR_FORMAT))
    long_name = [("c" * 120 + "/0.png", png), ("d/1.png", png)]
    write("tar", "gnu.tar", tar(long_name, tarfile.GNU_FORMAT))
    write("tar", "pax.tar", tar(long_name, tarfile.PAX_FORMAT))

    index = json.dumps({"labels": [["0.png", 1], ["1.npy", 0]]}).encode()
    planes = npy(np.ascontiguousarray(images[0].transpose(2, 0, 1)))
    stored = [("0.png", png, 0), ("1.npy", planes, 0), ("dataset.json", index, 0)]
    write("edm_zip", "stored.zip", zipped(stored))
    write("edm_zip", "deflated.zip", zipped([(name, content, 8) for name, content, _ in stored]))

    write("npy", "interleaved.npy", npy(images))
    write("npy", "planar.npy", npy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))))
    arrays = [("images.npy", npy(images), 0), ("labels.npy", npy(labels), 0)]
    write("npz", "stored.npz", zipped(arrays))

    write("npz_arrays", "labelled.npz", zipped(arrays))
    moments = [("mu.npy", npy(np.arange(3, dtype=">f4")), 8), ("sigma.npy", npy(np.eye(3).T), 8)]
    write("npz_arrays", "deflated.npz", zipped([("arr_0.npy", npy(images), 8), *moments]))
    write("npz_arrays", "fortran.npy", npy(np.asfortranarray(np.arange(6.0).reshape(2, 3))))

    header = {
        "images": {"dtype": "U8", "shape": [2, 2, 3, 3], "data_offsets": [16, 52]},
        "labels": {"dtype": "I64", "shape": [2], "data_offsets": [0, 16]},
    }
    header = json.dumps(header).encode()
    content = struct.pack("<Q", len(header)) + header + labels.tobytes() + images.tobytes()
    write("safetensors", "whole.safetensors", content)

    write("cifar10", "one.bin", bytes(i % 10 for i in range(3073)))

    write("image", "rgb.png", png)
    write("image", "palette.png", encoded("PNG", "P"))
    write("image", "alpha.png", encoded("PNG", "LA"))
    write("image", "rgb.jpg", jpeg)
    write("image", "grey.jpg", encoded("JPEG", "L"))
    write("image", "cmyk.jpg", encoded("JPEG", "CMYK"))
    write("image", "progressive.jpg", encoded("JPEG", progressive=True))
    write("image", "planes.npy", planes)


main()
