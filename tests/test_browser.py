import shutil
import time

import pytest
from report_runs import classification_run, detection_run
from toolchains import need

from block.data import reading
from block.report import page

WIDTHS_PX = (390, 1280)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    need(["chromium", "chromedriver"], "chromium and chromium-driver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options=options, service=Service(driver)) as browser:
        yield browser


@pytest.fixture(scope="module", params=["classification", "detection"])
def report(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    classifies = request.param == "classification"
    outputs = classification_run(folder, images=120) if classifies else detection_run(folder, photos=40)
    page.write(outputs, reading.read(folder / "data"))
    return outputs.report.as_uri()


def resize(browser, width):
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def shown(browser):
    return browser.execute_script(
        "return [...document.querySelectorAll('#gallery figure')].filter(one => !one.hidden)"
        ".map(one => ({...one.dataset}))"
    )


def choose(browser, **values):
    for name, value in values.items():
        browser.execute_script(
            "const field = document.getElementById('filter').elements[arguments[0]];"
            "field.value = arguments[1]; field.dispatchEvent(new Event('change', {bubbles: true}))",
            name,
            value,
        )


def test_report_opens_without_errors_and_network_requests(browser, report):
    browser.get_log("performance")
    browser.get(report)
    time.sleep(0.5)
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    requested = [
        entry["message"] for entry in browser.get_log("performance") if "requestWillBeSent" in entry["message"]
    ]
    assert any(report in message for message in requested)
    others = [message for message in requested if '"url":"http' in message or '"url":"ws' in message]
    assert others == []
    resources = browser.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
    assert [name for name in resources if not name.startswith("data:")] == []
    images = "return [...document.images].map(one => one.naturalWidth)"
    assert min(browser.execute_script(images)) >= 48


@pytest.mark.parametrize("width", WIDTHS_PX)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_report_is_readable_on_phone_and_desktop(browser, report, width, scheme):
    resize(browser, width)
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    browser.get(report)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    wide = browser.execute_script(
        "return [...document.querySelectorAll('main *, header *')].filter(one => {"
        "  if (one.closest('.scroll') || one.closest('svg svg, svg g')) return false;"
        "  const box = one.getBoundingClientRect(); return box.width && (box.right > innerWidth + 1 || box.left < -1);"
        "}).map(one => one.outerHTML.slice(0, 80))"
    )
    assert wide == []
    assert contrast(browser, "p.verdict") > 7 and contrast(browser, ".note") > 4.5
    smallest = browser.execute_script(
        "return Math.min(...[...document.querySelectorAll('.chart text')].map(one => "
        "  parseFloat(getComputedStyle(one).fontSize) * Math.hypot(one.getScreenCTM().a, one.getScreenCTM().b)))"
    )
    assert smallest >= 9


def contrast(browser, selector):
    colours = browser.execute_script(
        "const one = document.querySelector(arguments[0]);"
        "return [getComputedStyle(one).color, getComputedStyle(document.body).backgroundColor]",
        selector,
    )
    high, low = sorted(map(luminance, colours), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour):
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_filter_shows_matching_photos(browser, report):
    resize(browser, 1280)
    browser.get(report)
    total = browser.execute_script("return document.querySelectorAll('#gallery figure').length")
    assert total > 24 and len(shown(browser)) == 24
    choose(browser, kinds="wrong")
    wrong = shown(browser)
    assert 0 < len(wrong) < total and all("wrong" in one["kinds"].split() for one in wrong)
    text = browser.execute_script("return document.getElementById('shown').textContent")
    assert text == f"{len(wrong)} of {total} photos"
    choose(browser, kinds="", true="1", split="holdout")
    its = shown(browser)
    assert its and all("1" in one["true"].split() and one["split"] == "holdout" for one in its)
    browser.execute_script("document.querySelector('#filter button').click()")
    time.sleep(0.2)
    assert len(shown(browser)) == 24
    browser.execute_script("document.getElementById('more').click()")
    assert len(shown(browser)) == total


def test_click_on_the_confusion_matrix_shows_its_photos(browser, report):
    browser.get(report)
    cells = "[...document.querySelectorAll('.confusion button')].filter(one => Number(one.textContent))"
    for number in range(browser.execute_script(f"return {cells}.length")):
        wanted = browser.execute_script(f"const one = {cells}[{number}]; one.click(); return {{...one.dataset}}")
        time.sleep(0.1)
        found = shown(browser)
        assert found
        for name, value in wanted.items():
            assert all(value in ["", *one[name].split()] for one in found), (name, value)


def test_print_shows_all_photos(browser, report):
    browser.get(report)
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert len(shown(browser)) == browser.execute_script("return document.querySelectorAll('#gallery figure').length")
