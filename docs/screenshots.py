"""Pictures of pages for the docs: `python docs/screenshots.py NAME=PAGE.html ...` writes
docs/images/NAME.desktop.png and NAME.phone.png. Needs chromium and chromedriver (Debian's packages
chromium and chromium-driver), selenium and Pillow.
"""

from __future__ import annotations

import argparse
import base64
import io
import shutil
import time
from pathlib import Path

from PIL import Image
from selenium import webdriver

IMAGES = Path(__file__).parent / "images"
SIZES = {"desktop": (1280, 1350), "phone": (390, 1350)}  # points
COLOURS = 256  # of a picture: under 200 kB
WAIT = 60.0  # seconds for a page to be ready


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pages", nargs="+", metavar="NAME=HTML")
    pages = [page.split("=", 1) for page in parser.parse_args().pages]
    IMAGES.mkdir(exist_ok=True)
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(flag)
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    with webdriver.Chrome(options=options, service=service) as chrome:
        for name, page in pages:
            for size in SIZES:
                path = IMAGES / f"{name}.{size}.png"
                take(chrome, Path(page), size).save(path, optimize=True)
                print(f"{path}: {path.stat().st_size // 1000} kB")


def take(chrome: webdriver.Chrome, page: Path, size: str) -> Image.Image:
    """The top of a page, once it says that it is ready."""
    width, height = SIZES[size]
    metrics = dict(width=width, height=height, deviceScaleFactor=1, mobile=size == "phone")
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    chrome.get(page.resolve().as_uri())
    end = time.monotonic() + WAIT
    while not chrome.execute_script("return document.documentElement.dataset.ready"):
        if time.monotonic() > end:
            raise SystemExit(f"{page}: was not ready in {WAIT:.0f} s")
        time.sleep(0.1)
    time.sleep(2)  # the browser draws its tracks
    data = chrome.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"]
    return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB").quantize(COLOURS)


if __name__ == "__main__":
    main()
