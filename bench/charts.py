"""Charts as SVG, in the light and the dark of the page around them; pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape


@dataclass(frozen=True, slots=True)
class Chart:
    """A bar for each point, from zero. x and y: what the axes show, y with its unit; points: (x, y)."""

    name: str
    title: str
    x: str
    y: str
    points: Sequence[tuple[float, float]]

    def words(self) -> str:
        """The points in words, for readers who do not see the bars."""
        return ", ".join(f"{number(x)}: {number(y)}" for x, y in self.points)


_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 560, 260, 58, 16, 62, 58
_STYLE = """<style>
  .paper { fill: #ffffff } .ink { fill: #1f2933 } .faint { fill: #52606d }
  .axis { stroke: #9aa5b1 } .bar { fill: #2f6fb0 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 } .ink { fill: #e6edf3 } .faint { fill: #9da7b3 }
    .axis { stroke: #59636e } .bar { fill: #5ba3e6 }
  }
</style>"""


def svg(chart: Chart) -> str:
    """The chart as a document of its own. Bars, as there are three or four points and the steps between them are
    powers of ten."""
    title, base, right = escape(chart.title), _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    middle = f"{(_LEFT + right) / 2:.1f}"
    points = escape(f"{chart.y} by {chart.x}: {chart.words()}")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        f' aria-labelledby="{chart.name}-title {chart.name}-points"'
        ' font-family="system-ui, sans-serif" font-size="13">',
        f'<title id="{chart.name}-title">{title}</title>',
        f'<desc id="{chart.name}-points">{points}</desc>',
        _STYLE,
        f'<rect class="paper" width="{_WIDTH}" height="{_HEIGHT}"/>',
        f'<text class="ink" x="16" y="22" font-size="14" font-weight="600">{title}</text>',
        f'<text class="faint" x="16" y="44">{escape(chart.y)}</text>',
        f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{base}" y2="{base}"/>',
        f'<line class="axis" x1="{_LEFT}" x2="{_LEFT}" y1="{_TOP}" y2="{base}"/>',
        f'<text class="faint" x="{_LEFT - 8}" y="{base + 4}" text-anchor="end">0</text>',
        *_bars(chart, base, right),
        f'<text class="faint" x="{middle}" y="{_HEIGHT - 14}" text-anchor="middle">{escape(chart.x)}</text>',
    ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bars(chart: Chart, base: int, right: int) -> list[str]:
    most = max(y for _, y in chart.points) or 1.0
    step = (right - _LEFT) / len(chart.points)
    parts: list[str] = []
    for place, (x, y) in enumerate(chart.points):
        middle = _LEFT + step * (place + 0.5)
        height = round(y / most * (base - _TOP - 20), 1)
        parts += [
            f'<rect class="bar" x="{middle - step * 0.3:.1f}" y="{base - height:.1f}" width="{step * 0.6:.1f}"'
            f' height="{height}"/>',
            f'<text class="ink" x="{middle:.1f}" y="{base - height - 5:.1f}" text-anchor="middle">{number(y)}</text>',
            f'<text class="faint" x="{middle:.1f}" y="{base + 18}" text-anchor="middle">{number(x)}</text>',
        ]
    return parts


def number(value: float | Sequence[float]) -> str:
    """With commas between thousands; of several the least and the most."""
    if isinstance(value, Sequence):
        return " to ".join(number(each) for each in (min(value), max(value))) if value else "–"
    return f"{value:,.0f}" if value == int(value) else f"{value:,}"
