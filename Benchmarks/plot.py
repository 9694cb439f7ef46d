"""results.svg, drawn by hand: a bar for each client of each row, on a logarithmic scale."""
import html
import math
import statistics

LEFT, WIDTH, LINE, GAP = 270, 620, 18, 34
OURS, THEIRS, LATE = "#1b7f5c", "#8a96a3", "#c9ced4"


def _seconds(samples):
    good = [s["seconds"] for s in samples if not s["timed_out"] and s["fault"] is None]
    return statistics.median(good) if good else None


def bars(rows):
    """(row, [(client, seconds, whether ours, whether it did not finish)]) of what can be drawn."""
    result = []
    for row_id, row in rows.items():
        found = []
        for name, samples in row["samples"].items():
            seconds, late = _seconds(samples), any(s["timed_out"] for s in samples)
            if late:
                seconds = max(s["seconds"] for s in samples)
            if seconds:
                found.append((name, seconds, name in row["ours"], late))
        if found:
            result.append((f"{row_id}: {row['title']}, {row['round_trip_ms']} ms", found))
    return result


def draw(rows):
    groups = bars(rows)
    values = [seconds for _, found in groups for _, seconds, _, _ in found] or [1]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)

    def x(seconds):
        return LEFT + (math.log10(seconds) - low) / (high - low) * WIDTH

    height = 40 + sum(GAP + LINE * len(found) for _, found in groups) + 20
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 90} {height}" '
             'font-family="sans-serif" font-size="12">', '<rect width="100%" height="100%" fill="white"/>']
    for power in range(low, high + 1):
        place = x(10.0 ** power)
        parts.append(f'<line x1="{place:.1f}" y1="30" x2="{place:.1f}" y2="{height - 10}" stroke="#e3e6ea"/>')
        parts.append(f'<text x="{place:.1f}" y="20" text-anchor="middle" fill="#555">{10.0 ** power:g} s</text>')
    y = 40
    for title, found in groups:
        y += GAP - 12
        parts.append(f'<text x="10" y="{y}" font-weight="bold">{html.escape(title)}</text>')
        y += 6
        for name, seconds, is_ours, is_late in found:
            color = OURS if is_ours else LATE if is_late else THEIRS
            end = x(seconds)
            parts.append(f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{html.escape(name)}</text>')
            parts.append(f'<rect x="{LEFT}" y="{y + 2}" width="{max(end - LEFT, 1):.1f}" height="{LINE - 5}" '
                         f'fill="{color}"/>')
            shown = f"&gt; {seconds:.0f}" if is_late else f"{seconds:.3g}"
            parts.append(f'<text x="{end + 5:.1f}" y="{y + 12}" fill="#333">{shown}</text>')
            y += LINE
        y += 6
    return "\n".join(parts + ["</svg>"]) + "\n"
