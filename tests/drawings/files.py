"""Pictures as the files a client uploads."""

import io

from PIL import Image


def save_jpeg(image: Image.Image, *, exif: Image.Exif | bytes | None = None, quality: int = 90) -> bytes:
    """Write a JPEG, with EXIF where it is given."""
    stream = io.BytesIO()
    image.convert("RGB").save(stream, "JPEG", quality=quality, **({} if exif is None else {"exif": exif}))
    return stream.getvalue()
