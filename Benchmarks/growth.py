"""How seconds and memory grow with the number of files, from the rows scale-N: a table and lines of a plot."""
import harness


def points(rows):
    """{client: [(files, seconds, peak bytes)]} by rising number."""
    result = {}
    for row_id, row in rows.items():
        kind, _, files = row_id.partition("-")
        if kind != "scale":
            continue
        for name, samples in row["samples"].items():
            good = [harness.Sample(**sample) for sample in samples]
            seconds = harness.median(good)
            if seconds is not None:
                result.setdefault(name, []).append((int(files), seconds, harness.median(good, "peak_bytes")))
    return {name: sorted(found) for name, found in result.items()}


def lines(rows):
    """Lines of the table: files, client, seconds, microseconds a file more than the size before, memory."""
    result = []
    for name, found in points(rows).items():
        for place, (files, seconds, peak) in enumerate(found):
            line = [name, f"{files:,}", f"{seconds:.2f}", "", f"{peak / 1e6:.0f}", ""]
            if place > 0:
                fewer, sooner, lower = found[place - 1]
                line[3] = f"{(seconds - sooner) / (files - fewer) * 1e6:.1f}"
                line[5] = f"{(peak - lower) / (files - fewer):.0f}"
            result.append(line)
    return result


HEAD = ["work", "files", "seconds", "µs for each more", "peak MB", "bytes for each more"]
