"""A headless Chromium for the tests of pages; they skip where there is none."""

import json
import shutil
import time

import pytest

SIZES = {"desktop": (1280, 1600), "phone": (390, 1600)}


@pytest.fixture(name="chrome", scope="module")
def fixture_chrome():
    """A browser that counts what it asks for. Debian: packages chromium and chromium-driver."""
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("no chromium and chromedriver here")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    chrome = webdriver.Chrome(options=options, service=service)
    yield chrome
    chrome.quit()


def open_page(chrome, path, size, ready=False):
    """Open a file; ``ready``: wait for the page to say that it is."""
    width, height = SIZES[size]
    metrics = dict(width=width, height=height, deviceScaleFactor=1, mobile=size == "phone")
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    chrome.get_log("browser"), chrome.get_log("performance")
    chrome.get(path.resolve().as_uri())
    if ready:
        wait(lambda: chrome.execute_script("return document.documentElement.dataset.ready"))


def wait(true, seconds=30):
    """Wait until ``true()``; returns what it gave."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.05)
    raise AssertionError("the page did not get there")


def complaints(chrome):
    """Errors of the console, and requests that leave the page."""
    found = [entry["message"] for entry in chrome.get_log("browser") if entry["level"] == "SEVERE"]
    for entry in chrome.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            if not url.startswith(("file:", "blob:", "data:")):
                found.append(f"asks for {url}")
    return found
