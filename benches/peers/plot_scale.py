"""Draws the figures of the `scale` benchmark. Arguments: CSV, PNG."""

import csv
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plot
from matplotlib.ticker import FixedLocator, ScalarFormatter

COLOURS = ["#1b6ca8", "#d1661d", "#3a8f4d", "#7d4aa0"]


def main(source, target):
    curves = {}
    with open(source, encoding="utf-8") as file:
        for row in csv.DictReader(file):
            curve = curves.setdefault(row.pop("settings"), [])
            curve.append({name: float(value) for name, value in row.items()})
    calls = sorted({row["calls"] for curve in curves.values() for row in curve})

    figure, (lag, cpu) = plot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for (name, rows), colour in zip(curves.items(), COLOURS):
        x = [row["calls"] for row in rows]
        lag.plot(x, [row["lag_p95_s"] for row in rows], "o-", color=colour, label=f"{name}, p95")
        lag.plot(x, [row["lag_p50_s"] for row in rows], "o--", color=colour, label=f"{name}, p50", alpha=0.6)
        cpu.plot(x, [100 * row["cpu_of_a_call"] for row in rows], "o-", color=colour, label=name)
    for axes in (lag, cpu):
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(FixedLocator(calls))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.set_xlabel("live calls (two streams each)")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    lag.set_yscale("log")
    lag.yaxis.set_major_locator(FixedLocator([0.5, 1, 2, 5, 10, 20]))
    lag.yaxis.set_major_formatter(ScalarFormatter())
    lag.yaxis.set_minor_locator(FixedLocator([]))
    lag.set_ylim(bottom=0.4)
    lag.set_ylabel("seconds from a word's end to its text")
    cpu.set_ylabel("of one core for one call, %")
    cpu.set_ylim(bottom=0)
    lag.set_title("Lag")
    cpu.set_title("Cost")
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
