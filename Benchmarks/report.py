"""What was measured: as text for the terminal, as results.json that is kept, and as RESULTS.md made of it."""
import dataclasses
import datetime
import json
import os
import platform
import subprocess

import growth
import harness
import plot


def first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return ((done.stdout or done.stderr).strip().splitlines() or [""])[0]


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return (f"{len(os.sched_getaffinity(0))} × {models[0] if models else platform.machine()}, {memory:.0f} GiB, "
            f"Linux {platform.release()}")


def versions(tools):
    return {
        "sftp-to-s3": first_line(tools["sftp-to-s3"], "--version") + " at " + first_line(
            "git", "-C", os.path.dirname(harness.HERE), "describe", "--always", "--dirty", "--abbrev=9"),
        "rclone": first_line(tools["rclone"], "version").removeprefix("rclone "),
        "lftp": first_line(tools["lftp"], "--version"),
        "OpenSSH": first_line("ssh", "-V"),
    }


def judge(row, samples, target):
    """One line of the table of targets: (against, ours, theirs, ratio or peak, target, verdict)."""
    if isinstance(target, harness.MemoryTarget):
        peak = harness.median(samples.get(target.client, []), "peak_bytes")
        if peak is None:
            return None
        return {"against": "peak memory of " + target.client, "ours": f"{peak / 1e6:.0f} MB", "theirs": "",
                "ratio": "", "target": f"≤ {target.limit_bytes / 1e6:.0f} MB", "holds": peak <= target.limit_bytes}
    found = harness.ratio(row, samples, target)
    if found is None:
        return None
    ours, theirs, name, ratio = found
    late = any(sample.timed_out for sample in samples[name])
    best = f"{name}, the best of {len(target.against)}" if len(target.against) > 1 else name
    return {"against": best, "ours": f"{ours:.2f} s", "theirs": f"{'> ' if late else ''}{theirs:.2f} s",
            "ratio": f"{'< ' if late else ''}{ratio:.3f}", "target": f"≤ {target.limit:g}",
            "holds": ratio <= target.limit}


def client_line(row, name, samples):
    """Cells of one client in a row's table."""
    if any(sample.timed_out for sample in samples):
        return [name, f"> {row.limit_seconds:g}", "", "", "", "", str(len(samples))]
    if not samples or harness.median(samples) is None:
        return [name, "failed", samples[0].fault if samples else "did not run", "", "", "", str(len(samples))]
    good = [sample for sample in samples if sample.is_good]
    seconds = [sample.seconds for sample in good]
    failed = len(samples) - len(good)
    return [name, f"{harness.median(samples):.2f}", f"{min(seconds):.2f}–{max(seconds):.2f}",
            f"{harness.median(samples, 'cpu_seconds'):.2f}", f"{harness.median(samples, 'server_cpu_seconds'):.2f}",
            f"{harness.median(samples, 'peak_bytes') / 1e6:.0f}",
            f"{len(good)}" + (f", {failed} failed" if failed else "")]


HEAD = ["client", "seconds", "spread", "CPU s", "server CPU s", "peak MB", "rounds"]
JUDGED = ["work", "against", "ours", "theirs", "ratio", "target", "holds"]


def table(head, lines):
    """Markdown, columns aligned."""
    cells = [head] + [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    shown = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in cells]
    shown.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(shown)


class Results:
    """The rows of this benchmark; with write(), merged with those that were recorded before."""

    def __init__(self, tools):
        self.stamp = {
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"), "machine": machine(),
            "versions": versions(tools), "proxies": {},
        }
        self.rows, self._faults = {}, False

    def note_proxy(self, round_trip_ms, facts):
        milliseconds, connecting, speed = facts
        line = (f"{round_trip_ms} ms: round trip {milliseconds:.2f} ms, first byte of a new connection after "
                f"{connecting:.1f} ms, {speed:.0f} MB/s")
        self.stamp["proxies"][str(round_trip_ms)] = line
        print("delay proxy of", line, flush=True)

    def add(self, row, samples):
        self.rows[row.id] = {
            "title": row.title, "round_trip_ms": row.round_trip_ms, "stamp": self.stamp,
            "clients": [client_line(row, name, found) for name, found in samples.items()],
            "samples": {name: [dataclasses.asdict(sample) for sample in found] for name, found in samples.items()},
            "judged": [verdict for verdict in (judge(row, samples, target) for target in row.targets) if verdict],
            "ours": [client.name for client in row.clients if client.is_ours],
        }
        ours = (sample for client in row.clients if client.is_ours for sample in samples[client.name])
        self._faults = self._faults or any(not sample.is_good for sample in ours)

    def faults_of_ours(self):
        """True when a run of ours failed: then the figures are not the point."""
        return self._faults

    def text(self, rows=None):
        rows = self.rows if rows is None else rows
        parts = [_judged(rows)]
        for row_id, row in rows.items():
            parts.append(f"{row_id}: {row['title']}, round trip {row['round_trip_ms']} ms\n\n"
                         + table(HEAD, row["clients"]))
        return "\n\n".join(part for part in parts if part)

    def write(self, directory):
        path = os.path.join(directory, "results.json")
        rows = {}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                rows = json.load(file)
        rows |= self.rows
        rows = dict(sorted(rows.items(), key=lambda item: _place(item[0])))
        _replace(path, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
        _replace(os.path.join(directory, "results.svg"), plot.draw(rows))
        _replace(os.path.join(directory, "RESULTS.md"), document(rows, os.path.join(directory, "ANALYSIS.md")))


def _judged(rows):
    lines = [[row_id, verdict["against"], verdict["ours"], verdict["theirs"], verdict["ratio"], verdict["target"],
              "yes" if verdict["holds"] else "NO"] for row_id, row in rows.items() for verdict in row["judged"]]
    return table(JUDGED, lines) if lines else ""


def _place(row_id):
    """Kinds of work together, in the order of their size or their round trip."""
    kind, _, rest = row_id.partition("-")
    digits = "".join(character for character in rest if character.isdigit())
    order = ["small", "big", "list", "noop", "scale", "bounds"]
    return (order.index(kind) if kind in order else len(order), kind, int(digits or 0), rest)


def _replace(path, text):
    with open(path + ".part", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".part", path)


def document(rows, analysis_path):
    """RESULTS.md."""
    analysis = ""
    if os.path.exists(analysis_path):
        with open(analysis_path, encoding="utf-8") as file:
            analysis = "## What bounds it\n\n" + file.read().strip()
    parts = [
        "# Results", "<!-- Made by `make bench` from results.json; the analysis is ANALYSIS.md. Do not edit. -->",
        "Medians of wall-clock seconds. All clients of a row did the same work in turn, on one machine that was "
        "server and client at once; absolute figures are that machine's, ratios are what counts. Ours is durable and "
        "journaled, the peers are as they come. Every result was compared with its source. *CPU* and *peak* are the "
        "client's, its children included; *server CPU* is sshd's. README.md in this directory says how it is measured.",
        "## Targets", _judged(rows), "![The medians](results.svg)",
    ]
    grown = growth.lines(rows)
    if grown:
        parts += ["## Growth", table(growth.HEAD, grown)]
    parts += [analysis, "## Rows"]
    for row_id, row in rows.items():
        parts.append(f"### {row_id}\n\n{row['title']}, round trip {row['round_trip_ms']} ms. {row['stamp']['date']}, "
                     f"{row['stamp']['versions']['sftp-to-s3']}.\n\n" + table(HEAD, row["clients"]))
    parts.append("## Where and with what")
    for key, row_ids in _stamps(rows).items():
        stamp = json.loads(key)
        lines = [f"* {stamp['machine']}"]
        lines += [f"* {name}: {version}" for name, version in stamp["versions"].items()]
        lines += [f"* delay proxy of {line}" for line in stamp["proxies"].values()]
        parts.append(f"{stamp['date']}: {', '.join(row_ids)}\n\n" + "\n".join(lines))
    return "\n\n".join(part for part in parts if part) + "\n"


def _stamps(rows):
    found = {}
    for row_id, row in rows.items():
        found.setdefault(json.dumps(row["stamp"], ensure_ascii=False), []).append(row_id)
    return found
