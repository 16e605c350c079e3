"""Reads a chart of the console: its axis, the figures of its legend, and the pixels of its lines and bands; and
touches it."""

from collections.abc import Callable

from browser import Person
from harness import wait_until

_IMAGE = """
    const canvas = document.querySelector(".chart canvas");
    const over = document.querySelector(".u-over").getBoundingClientRect();
    const all = canvas.getBoundingClientRect();
    const scale = canvas.width / all.width;
    const at = (share) => Math.round((over.left - all.left + share * over.width) * scale);
    const probe = document.createElement("span");
    probe.style.color = "var(--line-1)";
    document.body.append(probe);
    const line = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
    probe.remove();
    const top = Math.round((over.top - all.top) * scale);
    const height = Math.round(over.height * scale);
    const pixels = (left, width) => canvas.getContext("2d").getImageData(left, top, width, height).data;
    const isColoured = (data, place) => line.every((part, index) => Math.abs(part - data[place + index]) < 40);
"""
"""Names for the scripts below: of the first line of a chart and of the band around it."""


def axis(person: Person) -> tuple[float, float]:
    """The times in ms at which the axis of the chart begins and ends."""
    holder = person.page.locator(".chart [role=img]")
    return float(holder.get_attribute("data-from") or 0), float(holder.get_attribute("data-to") or 0)


def shown_s(person: Person) -> float:
    """How long the time is that the chart shows, in s."""
    began, ended = axis(person)
    return (ended - began) / 1000


def drawn(person: Person, from_share: float, to_share: float, colour: str = "--line-1", least_alpha: int = 129) -> int:
    """How many pixels of the chart's line, or of another colour, are between two shares of its width."""
    return int(
        person.page.evaluate(
            f"""([from, to, least]) => {{
                {_IMAGE.replace("--line-1", colour)}
                const data = pixels(at(from), at(to) - at(from));
                let count = 0;
                for (let place = 0; place < data.length; place += 4) {{
                  if (isColoured(data, place) && data[place + 3] >= least) count += 1;
                }}
                return count;
            }}""",
            [from_share, to_share, least_alpha],
        )
    )


def column(person: Person, at_ms: float) -> dict[str, list[float]]:
    """Where the line and its band are drawn at a time: shares of the height, 0 the top. Of some columns of pixels the
    one with most of the band, since a line of the grid may lie under one."""
    found: dict[str, list[float]] = person.page.evaluate(
        f"""(share) => {{
            {_IMAGE}
            let best = {{ line: [], band: [] }};
            for (let left = at(share) - 3; left <= at(share) + 3; left += 1) {{
              const data = pixels(left, 1);
              const found = {{ line: [], band: [] }};
              for (let row = 0; row < height; row += 1) {{
                const alpha = data[4 * row + 3];
                if (!isColoured(data, 4 * row)) continue;
                if (alpha > 128) found.line.push(row / height);
                else if (alpha > 20 && alpha < 90) found.band.push(row / height);
              }}
              if (found.band.length > best.band.length) best = found;
            }}
            return best;
        }}""",
        _share(person, at_ms),
    )
    return found


def plot(person: Person) -> dict[str, float]:
    """The place of the plot on the screen, after scrolling to it. A chart is drawn anew once it has names."""
    found: dict[str, float] = person.page.evaluate(
        """() => {
            const over = document.querySelector(".u-over");
            over.scrollIntoView({ block: "center" });
            const { x, y, width } = over.getBoundingClientRect();
            return { x, y, width };
        }"""
    )
    return found


def fingers(person: Person) -> Callable[..., None]:
    """`touch(kind, *shares)` sends what a touch screen sends: touchStart, touchMove or touchEnd, with a finger at each
    share of the chart's width, which is where it is at the touchStart."""
    place: dict[str, float] = {}
    screen = person.page.context.new_cdp_session(person.page)
    screen.send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})

    def touch(kind: str, *shares: float) -> None:
        if kind == "touchStart":
            place.update(plot(person))
        points = [
            {"id": number, "x": place["x"] + share * place["width"], "y": place["y"] + 80}
            for number, share in enumerate(shares)
        ]
        screen.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    return touch


def figures(person: Person, at_ms: float) -> dict[str, str]:
    """The figures that the legend has for the point nearest to a time, by the name of their line."""
    place = plot(person)
    person.page.mouse.move(place["x"] + _share(person, at_ms) * place["width"], place["y"] + 20)
    found: dict[str, str] = person.page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll(".u-legend .u-series")].map((row) =>
            [row.querySelector(".u-label").textContent, row.querySelector(".u-value").textContent]))"""
    )
    return found


def until_figures(person: Person, at_ms: float, expected: dict[str, str]) -> None:
    """Wait until the legend has these figures at a time; it may have others too."""
    last: list[dict[str, str]] = []

    def is_so() -> bool:
        last[:] = [figures(person, at_ms)]
        return expected.items() <= last[0].items()

    try:
        wait_until(is_so, f"the chart has {expected}")
    except AssertionError as error:
        raise AssertionError(f"{error}; it has {last}") from error


def _share(person: Person, at_ms: float) -> float:
    began, ended = axis(person)
    return (at_ms - began) / (ended - began)
