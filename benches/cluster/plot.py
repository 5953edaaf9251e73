"""Draws the figures of the `cluster` benchmark's simulation. Arguments: CSV, PNG."""

import csv
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plot
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, ScalarFormatter

COLOURS = ["#3a8f4d", "#1b6ca8", "#d1661d", "#7d4aa0"]
LAGS = {"lag_p50_s": ("p50", ":"), "lag_p999_s": ("p99.9", "--"), "lag_max_s": ("max", "-")}


def main(source, target):
    curves = {}
    with open(source, encoding="utf-8") as file:
        for row in csv.DictReader(file):
            curve = curves.setdefault(row.pop("scenario"), [])
            curve.append({name: float(value) for name, value in row.items()})

    figure, (lag, waiting, traffic) = plot.subplots(1, 3, figsize=(14, 4), layout="constrained")
    for (name, rows), colour in zip(curves.items(), COLOURS):
        calls = [row["calls"] for row in rows]
        for column, (label, style) in LAGS.items():
            lag.plot(calls, [row[column] for row in rows], style, marker=".", color=colour)
        unclaimed = [row["unclaimed_most"] for row in rows]
        waiting.plot(calls, unclaimed, "o-", color=colour, label=name)
    rows = next(iter(curves.values()))
    calls = [row["calls"] for row in rows]
    for replicas, colour in ((1, COLOURS[1]), (3, COLOURS[2])):
        moved = [row[f"nats_{replicas}_replicas_mb_s"] for row in rows]
        traffic.plot(calls, moved, "o-", color=colour, label=f"replicas: {replicas}")
    # Colours are those of the next plot.
    styles = [Line2D([], [], linestyle=style, color="black", label=label) for label, style in LAGS.values()]
    lag.legend(handles=styles, frameon=False, fontsize="small", loc="upper left")
    for axes in (waiting, traffic):
        axes.legend(frameon=False, fontsize="small")
    for axes in (lag, waiting, traffic):
        axes.xaxis.set_major_locator(FixedLocator([2000, 4000, 6000, 8000, 10000]))
        axes.set_xlabel("live calls on 200 workers that bear 50 each")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    lag.set_yscale("log")
    lag.yaxis.set_major_locator(FixedLocator([0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500]))
    lag.yaxis.set_major_formatter(ScalarFormatter())
    lag.yaxis.set_minor_locator(FixedLocator([]))
    lag.set_ylabel("seconds from audio to its text")
    lag.set_title("Lag")
    waiting.set_ylabel("calls that no worker has, at most")
    waiting.set_ylim(bottom=0)
    waiting.set_title("Waiting")
    traffic.set_ylabel("MB/s in and out of all NATS servers")
    traffic.set_ylim(bottom=0)
    traffic.set_title("NATS")
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
