"""A seeded generator of hostile, broken and odd picture files, for every test that must survive them.

`write_hostile(folder, seed)` writes them and lists what each must give: a picture (and which), an error, or either.
"""
from __future__ import annotations

import io
import os
import socket
import struct
import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageCms, features

ALLOWED_TIFF_COMPRESSION = None, "tiff_lzw", "tiff_adobe_deflate", "packbits"


@dataclass
class Case:
    path: object                      # str or Path, as a caller would pass it
    verdict: str                      # 'picture', 'error' or 'either'
    pixels: np.ndarray | None = None  # the upright sRGB pixels, where they are known
    tolerance: float = 0              # largest mean absolute difference from `pixels`
    says: str = ""                    # what the error must say, beside the file's name


def scene(height=48, width=64, seed=0):
    "A smooth coloured picture with an object off its centre, so that every turn of it differs."
    y, x = np.mgrid[:height, :width]
    image = np.stack([x*255/max(width - 1, 1), y*255/max(height - 1, 1), (x + y) % 256], -1)
    image[height//8:height//3, width//8:width//2] = (230, 40, 60)
    return np.clip(image + np.random.default_rng(seed).normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def encode(image, format, **kwargs):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, format, **kwargs)
    return buffer.getvalue()


def png_chunk(kind, data): return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth=8, colour=2, *chunks):
    "A PNG file of the given header and chunks, whether they fit it or not."
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + png_chunk(b"IEND", b"")


def cmyk_profile():
    "A small but valid ICC profile of an imaginary press: a lut8 table from ink to Lab."
    inks = np.array([[c, m, y, k] for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)], float)
    rgb = (1 - .9*inks[:, :3])*(1 - .95*inks[:, 3:])
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    to_lab = ImageCms.buildTransform(srgb, lab, "RGB", "LAB", ImageCms.Intent.RELATIVE_COLORIMETRIC)
    clut = np.asarray(ImageCms.applyTransform(Image.fromarray((rgb*255).astype(np.uint8)[None]), to_lab))[0].copy()
    clut[:, 1:] ^= 0x80 if np.abs(clut[0, 1:].astype(int)).max() < 64 else 0  # Pillow's a and b are signed, lut8's are offset by 128
    identity = bytes(range(256))
    matrix = struct.pack(">9i", *[65536 if i % 4 == 0 else 0 for i in range(9)])
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + identity*4 + clut.tobytes() + identity*3
    text = b"text\0\0\0\0none\0\0\0\0"
    desc = b"desc\0\0\0\0" + struct.pack(">I", 6) + b"press\0" + bytes(78)
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    tags, table, offset = {b"A2B0": lut, b"cprt": text, b"desc": desc, b"wtpt": white}, b"", 128 + 4 + 4*12
    body = b""
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    body = struct.pack(">I", len(tags)) + table + body
    header = struct.pack(">I4sI4s4s4s", 128 + len(body), b"none", 0x02400000, b"prtr", b"CMYK", b"Lab ") + bytes(12) + b"acsp" + bytes(28)
    header += struct.pack(">3i", 63190, 65536, 54061)
    return header + bytes(128 - len(header)) + body


def _modes(image):
    "Every format and mode that Pillow writes, with the pixels it must give."
    picture = Image.fromarray(image)
    jobs = [("PNG", m, {}) for m in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
    jobs += [("TIFF", m, {} if c is None else dict(compression=c)) for m in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F")
             for c in ALLOWED_TIFF_COMPRESSION if not (c == "packbits" and m in ("I;16", "I", "F"))]
    jobs += [("TIFF", "YCbCr", {}), ("TIFF", "LAB", {}), ("TIFF", "RGB", dict(compression="jpeg")), ("TIFF", "RGB", dict(tile=(16, 16)))]
    jobs += [("BMP", m, {}) for m in ("1", "L", "P", "RGB")]
    jobs += [("GIF", m, dict(interlace=i)) for m in ("1", "L", "P", "RGB", "RGBA") for i in (0, 1)]
    jobs += [("JPEG", m, dict(progressive=p, quality=95)) for m in ("L", "RGB", "CMYK", "YCbCr") for p in (False, True)]
    jobs += [("JPEG", "RGB", dict(subsampling=s, quality=95)) for s in ("4:4:4", "4:2:2", "4:2:0")]
    jobs += [("WEBP", m, dict(lossless=lossless)) for m in ("L", "RGB", "RGBA") for lossless in (False, True)]
    jobs += [("PPM", m, {}) for m in ("1", "L", "RGB", "I;16")]
    if features.check("jpg_2000"): jobs += [("JPEG2000", m, {}) for m in ("L", "LA", "RGB", "RGBA")]
    if features.check("avif"): jobs += [("AVIF", m, dict(quality=100, subsampling="4:4:4")) for m in ("RGB", "RGBA")]
    lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    for i, (format, mode, kwargs) in enumerate(jobs):
        if mode in ("I;16", "I", "F"):
            grey = image[..., 1]
            values = {"I;16": grey.astype(np.uint16)*257, "I": grey.astype(np.int32), "F": grey.astype(np.float32)/255}[mode]
            im, expected = Image.fromarray(values), np.stack([grey]*3, -1)
        elif mode == "LAB":
            im, expected = ImageCms.applyTransform(picture, lab), image
            im.info.clear()  # the profile that Pillow attaches carries the time
        elif mode == "P": im = picture.quantize(32); expected = np.asarray(im.convert("RGB"))
        else: im = picture.convert(mode); expected = np.asarray(im.convert("RGB"))
        if mode in ("LA", "RGBA"):
            alpha = np.full(image.shape[:2], 255, np.uint8); alpha[:8] = 0
            im.putalpha(Image.fromarray(alpha))
            expected = expected.copy(); expected[:8] = 255
        lossy = format in ("JPEG", "AVIF", "WEBP") and not kwargs.get("lossless") or kwargs.get("compression") == "jpeg" or mode in ("LAB", "YCbCr") \
            or format == "GIF" and mode in ("RGB", "RGBA")
        save = dict(kwargs)
        if "tile" in save:
            buffer = io.BytesIO(); tifffile.imwrite(buffer, image, photometric="rgb", tile=save["tile"]); data = buffer.getvalue()
        else: data = encode(im, format, **save)
        yield f"mode_{i:03}_{format}_{mode.replace(';', '')}", data, "picture", expected, 12 if lossy else 0


def _sources(image):
    "One ordinary file of each kind, for cutting and corrupting."
    frames = [Image.fromarray(np.roll(image, 7*i, 1)) for i in range(3)]
    yield "jpg", encode(image, "JPEG", quality=90)
    yield "progressive.jpg", encode(image, "JPEG", quality=90, progressive=True)
    yield "png", encode(image, "PNG")
    yield "tif", encode(image, "TIFF")
    yield "lzw.tif", encode(image, "TIFF", compression="tiff_lzw")
    yield "webp", encode(image, "WEBP", quality=90)
    yield "lossless.webp", encode(image, "WEBP", lossless=True)
    yield "bmp", encode(image, "BMP")
    yield "gif", encode(image, "GIF")
    yield "ppm", encode(image, "PPM")
    yield "animated.gif", encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    buffer = io.BytesIO(); tifffile.imwrite(buffer, image.astype(np.float32)/255, photometric="rgb")
    yield "float.tif", buffer.getvalue()
    if features.check("jpg_2000"): yield "jp2", encode(image, "JPEG2000")
    if features.check("avif"): yield "avif", encode(image, "AVIF")


def _broken(image, rng):
    sources = dict(_sources(image))
    for kind, data in sources.items():
        for tenth in range(1, 10):
            # Of an animation the first frame may be whole; JPEG 2000 is made to be cut: what is left is a coarser whole.
            verdict = "either" if kind in ("animated.gif", "jp2") else "error"
            yield f"cut_{tenth}0.{kind}", data[:len(data)*tenth//10], verdict, None, 0
        for i in range(8):
            damaged = bytearray(data)
            for at in rng.integers(0, len(data), 2**i): damaged[at] = rng.integers(256)
            yield f"flip_{i}.{kind}", bytes(damaged), "either", None, 0
        yield f"trailing.{kind}", data + rng.bytes(1000), "picture" if kind not in ("avif",) else "either", None, 0
    for i in range(20):
        magic = list(sources.values())[i % len(sources)][:16]
        yield f"noise_{i:02}", magic + rng.bytes(2000), "error" if magic[:2] != b"P6" else "either", None, 0
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as z: z.writestr(zipfile.ZipInfo("a.png"), sources["png"])
    foreign = {"empty.jpg": b"", "one_byte.jpg": b"\xff", "text.jpg": b"These are words, not pixels.\n"*9, "html.jpg": b"<!doctype html><title>404</title>",
               "zip.jpg": archive.getvalue(), "pdf.png": b"%PDF-1.7\n%\xe2\xe3", "svg.png": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
               "heic.jpg": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "script.gif": b"#!/bin/sh\nexit 0\n", "elf.png": b"\x7fELF\x02\x01\x01" + bytes(60),
               "zeros.bmp": bytes(4096), "eps.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "pickle.jpg": b"\x80\x04\x8c\x05posix\x94."}
    for name, data in foreign.items(): yield f"foreign_{name}", data, "error", None, 0
    for kind, name in [("png", "a.jpg"), ("jpg", "a.png"), ("webp", "b.jpg"), ("gif", "c.jpg"), ("tif", "d.jpg"), ("bmp", "noextension"), ("jpg", "e.txt"), ("jpg", "F.JPG")]:
        yield f"wrong_{name}", sources[kind], "picture", None, 0


def _bombs():
    giant = 40_000, 30_000
    yield "header.png", png(*giant)
    yield "header.gif", b"GIF89a" + struct.pack("<HHBBB", *giant, 0, 0, 0) + b"," + struct.pack("<HHHHB", 0, 0, *giant, 0) + b"\x02\0;"
    yield "header.bmp", b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, *giant, 1, 24, 0, 0, 0, 0, 0, 0)
    yield "header.ppm", b"P6 40000 30000 255\n" + bytes(99)
    jpeg = bytearray(encode(scene(), "JPEG"))
    at = jpeg.index(b"\xff\xc0"); jpeg[at + 5:at + 9] = struct.pack(">HH", *giant[::-1])
    yield "header.jpg", bytes(jpeg)
    tiff = bytearray(encode(Image.new("L", (3, 3)), "TIFF"))
    with tifffile.TiffFile(io.BytesIO(tiff)) as t: places = [(t.pages[0].tags[n].offset + 8, v) for n, v in ((256, giant[0]), (257, giant[1]))]
    for place, value in places: tiff[place - 6:place + 4] = struct.pack("<HII", 4, 1, value)
    yield "header.tif", bytes(tiff)
    webp = b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + (16_382).to_bytes(3, "little")*2
    yield "header.webp", b"RIFF" + struct.pack("<I", len(webp) + 4) + b"WEBP" + webp
    squeeze = zlib.compressobj(1)
    row = bytes(1 + 2500)
    yield "whole.png", png(20_000, 15_000, 1, 0, png_chunk(b"IDAT", b"".join(squeeze.compress(row*1000) for _ in range(15)) + squeeze.flush()))


def _odd(image, rng):
    for shape in [(1, 1), (1, 5000), (5000, 1), (2, 3), (7, 7)]:
        for format in ("PNG", "TIFF", "BMP", "GIF", "JPEG", "WEBP"):
            small = scene(*shape)
            exact = format in ("PNG", "TIFF", "BMP")
            yield f"size_{shape[0]}x{shape[1]}.{format.lower()}", encode(small, format), "picture", small, 0 if exact else 60
    grey = image[..., 1].astype(np.float32)
    deep = {"unit": (grey/255, image), "byte": (grey, image), "word": (grey*257, image), "negative": (grey/255 - 2*(grey < 30), None),
            "nan": (np.where(grey > 200, np.nan, grey), "error"), "all_nan": (grey*np.nan, "error"), "inf": (np.where(grey > 200, np.inf, grey), "error"),
            "beyond": (grey*1e6, "error")}
    for name, (values, result) in deep.items():
        known = np.stack([image[..., 1]]*3, -1) if result is image else None
        yield f"float_{name}.tif", encode(values.astype(np.float32), "TIFF"), "error" if isinstance(result, str) else "picture", known, 0
    for name, values in [("float32", image.astype(np.float32)/255), ("float64", image/255.), ("uint16", image.astype(np.uint16)*257), ("float16", (image/255).astype(np.float16))]:
        for planar in ("contig", "separate"):
            buffer = io.BytesIO()
            tifffile.imwrite(buffer, values if planar == "contig" else np.moveaxis(values, -1, 0), photometric="rgb", planarconfig=planar)
            yield f"rgb_{name}_{planar}.tif", buffer.getvalue(), "picture", image, 0 if name != "float16" else .5
    tall = bytearray(buffer.getvalue())
    with tifffile.TiffFile(io.BytesIO(tall)) as t: place = t.pages[0].tags[257].valueoffset
    tall[place:place + 4] = struct.pack("<I", 3_000_000)
    yield "strips_missing.tif", bytes(tall), "error", None, 0
    inverted = io.BytesIO(); tifffile.imwrite(inverted, 65535 - image[..., 1].astype(np.uint16)*257, photometric="miniswhite")
    yield "white_is_zero.tif", inverted.getvalue(), "picture", np.stack([image[..., 1]]*3, -1), 0
    for name, frames in [("gif", "GIF"), ("webp", "WEBP"), ("png", "PNG"), ("tif", "TIFF"), ("mpo", "MPO")]:
        later = [Image.fromarray(np.roll(image, 9*i, 0)) for i in (1, 2)]
        kwargs = dict(lossless=True) if name == "webp" else {}
        yield f"animated.{name}", encode(Image.fromarray(image), frames, save_all=True, append_images=later, **kwargs), "picture", image, 12 if name in ("gif", "mpo") else 0
    for format in ("PNG", "JPEG", "TIFF", "WEBP"):
        kwargs = dict(lossless=True) if format == "WEBP" else dict(quality=95, subsampling="4:4:4") if format == "JPEG" else {}
        for n in range(1, 9):
            stored = [image, image[:, ::-1], image[::-1, ::-1], image[::-1], image.swapaxes(0, 1), np.rot90(image), image[::-1, ::-1].swapaxes(0, 1), np.rot90(image, -1)][n - 1]
            exif = Image.Exif(); exif[0x0112] = n
            yield f"orientation_{n}.{format.lower()}", encode(np.ascontiguousarray(stored), format, exif=exif, **kwargs), "picture", image, 4 if format == "JPEG" else 0
        for i, broken in enumerate((b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + rng.bytes(64), rng.bytes(200),
                                    b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\xff\xff\xff\x7f\0\0\0\0")):
            if format != "TIFF": yield f"exif_{i}.{format.lower()}", encode(image, format, exif=broken, **kwargs), "picture", image, 4 if format == "JPEG" else 0
        for value in (0, 9, 65535):
            exif = Image.Exif(); exif[0x0112] = value
            yield f"orientation_{value}.{format.lower()}", encode(image, format, exif=exif, **kwargs), "picture", image, 4 if format == "JPEG" else 0
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    srgb = srgb[:24] + bytes(12) + srgb[36:]  # bytes 24-35 are the time of its making
    press = cmyk_profile()
    cmyk = Image.fromarray(image).convert("CMYK")
    printed = np.asarray(ImageCms.profileToProfile(cmyk, io.BytesIO(press), io.BytesIO(srgb), outputMode="RGB", flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
                                                   renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC))
    yield "cmyk_press.tif", encode(cmyk, "TIFF", icc_profile=press), "picture", printed, .1
    yield "cmyk_press.jpg", encode(cmyk, "JPEG", icc_profile=press, quality=95), "picture", printed, 6
    for name, profile in [("srgb", srgb), ("cut", srgb[:300]), ("noise", rng.bytes(500)), ("press", press), ("empty", b""), ("flipped", bytes(b ^ 1 for b in srgb))]:
        yield f"icc_{name}.png", encode(image, "PNG", icc_profile=profile), "picture", image, 0
        plain = np.asarray(cmyk.convert("RGB"))
        if name != "press": yield f"icc_{name}_cmyk.tif", encode(cmyk, "TIFF", icc_profile=profile), "picture", plain, 0
    for i, text in enumerate((b"k\0\0" + zlib.compress(bytes(50_000_000)), b"k\0\0" + b"not zlib", b"k"*70_000)):
        yield f"text_{i}.png", png(1, 1, 8, 2, png_chunk(b"zTXt", text), png_chunk(b"IDAT", zlib.compress(bytes(4)))), "either", None, 0
    whole = encode(image, "PNG")
    at = whole.index(b"IDAT")
    yield "crc.png", whole[:at - 4] + whole[at - 4:at + 9] + bytes([whole[at + 9] ^ 255]) + whole[at + 10:], "error", None, 0
    yield "zero_width.png", png(0, 5), "error", None, 0
    yield "zero_size.bmp", b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, 0, 0, 1, 24, 0, 0, 0, 0, 0, 0), "error", None, 0
    yield "raw_thumbnail.dng", encode(image, "TIFF", tiffinfo={254: 1}), "error", None, 0


def hostile_files(seed=0):
    "All the files with contents: tuples of name, bytes, verdict, pixels, tolerance. The same seed gives the same bytes."
    rng = np.random.default_rng(seed)
    image = scene(seed=seed)
    yield from _modes(image)
    yield from _broken(image, rng)
    yield from ((f"bomb_{name}", data, "error", None, 0) for name, data in _bombs())
    yield from _odd(image, rng)


def write_hostile(folder, seed=0):
    "Write all hostile files and names into `folder`; a list of `Case`."
    folder, cases = Path(folder), []
    for name, data, verdict, pixels, tolerance in hostile_files(seed):
        path = folder/name
        path.write_bytes(data)
        cases.append(Case(path, verdict, pixels, tolerance))
    image = scene(seed=seed)
    good = encode(image, "PNG")

    def named(path, verdict="picture", make=True, says=""):
        if make: Path(path).write_bytes(good)
        cases.append(Case(path, verdict, image if verdict == "picture" else None, 0, says))

    for name in ("x"*246 + ".png", "with space.png", "new\nline.png", "tab\t\x1b[31mred.png", "-rf.png", "%s%n.png", "Ünï‮cødé 图.png", ".png", "a'b\"c.png"): named(folder/name)
    named(str(folder/"as text.png"))
    if sys.platform == "linux":
        named(os.fsdecode(os.fsencode(folder) + b"/not\xffutf8\xfe.png"))
        named(os.fsdecode(os.fsencode(folder) + b"/missing\xff\xfe.png"), "error", make=False)
    named(folder/("y"*300 + ".png"), "error", make=False)
    named(str(folder/"null\0.png"), "error", make=False)
    named("", "error", make=False)
    named(folder/"missing.png", "error", make=False)
    (folder/"folder.png").mkdir(); named(folder/"folder.png", "error", make=False, says="folder")
    (folder/"plain.png").write_bytes(good); named(folder/"plain.png"/"below.png", "error", make=False)
    (folder/"link.png").symlink_to("plain.png"); named(folder/"link.png", make=False)
    (folder/"dangling.png").symlink_to("nowhere"); named(folder/"dangling.png", "error", make=False)
    (folder/"loop.png").symlink_to("loop.png"); named(folder/"loop.png", "error", make=False)
    os.mkfifo(folder/"pipe.png"); named(folder/"pipe.png", "error", make=False, says="pipe")
    with socket.socket(socket.AF_UNIX) as s:
        here = os.getcwd()
        os.chdir(folder)  # a socket's whole path may hold 107 bytes only
        try: s.bind("socket.png")
        finally: os.chdir(here)
    named(folder/"socket.png", "error", make=False)
    for device in ("/dev/null", "/dev/zero"): named(device, "error", make=False, says="not a regular file")
    named(folder/"locked.png"); (folder/"locked.png").chmod(0)
    cases[-1].verdict = "picture" if os.geteuid() == 0 else "error"
    return cases
