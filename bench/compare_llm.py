#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares tessera-llm with programs that take llama-bench's options and write its JSON.

  compare_llm.py --ours build/release/bin/tessera-llm --peer "llama.cpp=DIR/llama-bench"
      --peer "ik=DIR/llama-bench -rtr 1" MODEL.gguf... [-p 512] [-n 128] [-t 1,2] [--rounds 5]
      [--read build/release/bin/tessera-bench]

For each model and number of threads the programs run by turns (A B C, C B A, ...), each pinned to as many
CPUs as it has threads; what is shown are medians of rounds, in tokens a second, and our ratio to the best
peer. Options after a path are passed on. With --read tessera-bench takes its turn where text is generated
and measures the bandwidth of reading memory, in the mean of a second: what a machine gives changes from
minute to minute, up to twofold where others use the same memory. Shown are its median in GB/s and which
share of that our reading of the weights reaches.
"""
import argparse
import functools
import json
import shlex
import statistics
import subprocess
import sys


class Failure(Exception):
    pass


READ = "reading memory"  # among the programs, a name that no peer can have


def answer(command, threads, wanted, parse):
    """What parse() makes of the stdout of a command pinned to as many CPUs."""
    line = ["taskset", "-c", f"0-{threads - 1}"] + command
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    try:
        return parse(done.stdout)
    except (ValueError, KeyError, TypeError):
        why = done.stderr.strip().splitlines()[-1:] or [f"no {wanted} on stdout"]
        raise Failure(f"{' '.join(line)}: exit status {done.returncode}: {why[0]}") from None


def run(command, model, test, threads):
    """Tokens a second of one repetition, and the bytes of weights that a token reads where that is said."""
    def parse(text):
        (row,) = json.loads(text)
        return float(row["avg_ts"]), int(row.get("weight_bytes", 0))

    option, tokens = test
    other = "-n" if option == "-p" else "-p"
    arguments = ["-m", model, option, str(tokens), other, "0", "-t", str(threads), "-r", "1", "-o", "json"]
    return answer(command + arguments, threads, "row of JSON", parse)


def read(command, threads):
    """GB/s that are read from memory."""
    return answer(command + ["--read", "--threads", str(threads)], threads, "number", float)


def measure(turns, rounds):
    """name -> answers of all rounds, of what answers without arguments."""
    answers = {name: [] for name in turns}
    for turn in range(rounds):
        for name in list(turns)[::1 if turn % 2 == 0 else -1]:
            answers[name].append(turns[name]())
    return answers


def row(model, test, threads, answers):
    bandwidth = answers.pop(READ, [])
    speeds = {name: [speed for speed, _ in values] for name, values in answers.items()}
    median = {name: statistics.median(values) for name, values in speeds.items()}
    peers = {name: value for name, value in median.items() if name != "tessera"}
    cells = [model, f"{'pp' if test[0] == '-p' else 'tg'}{test[1]}", str(threads)]
    cells += [f"{median[name]:.2f} ({min(values):.2f} .. {max(values):.2f})" for name, values in speeds.items()]
    best = max(peers, key=peers.get, default=None)
    cells.append(f"{median['tessera'] / peers[best]:.2f} x {best}" if best else "")
    if not bandwidth:
        return cells + ["", ""]
    most = statistics.median(bandwidth)
    cells.append(f"{most:.1f} ({min(bandwidth):.1f} .. {max(bandwidth):.1f})")
    _, weight_bytes = answers["tessera"][0]
    share = weight_bytes * median["tessera"] * 1e-9 / most
    return cells + [f"{100 * share:.0f} %" if weight_bytes > 0 else "unknown"]


def named(text):
    name, equals, command = text.partition("=")
    if not equals or not name or not command or name in ("tessera", READ):
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=PATH")
    return name, shlex.split(command)


def numbers(text):
    return [int(part) for part in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--ours", required=True, help="PATH of tessera-llm, with options of its bench if need be")
    parser.add_argument("--peer", type=named, action="append", default=[], help="NAME=PATH, with options if need be")
    parser.add_argument("-p", type=int, default=512, help="tokens of the prompt; 0: none")
    parser.add_argument("-n", type=int, default=128, help="tokens to generate; 0: none")
    parser.add_argument("-t", type=numbers, default=[1], help="numbers of threads")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--read", type=shlex.split, help="PATH of tessera-bench, to measure reading memory")
    options = parser.parse_args()
    ours = shlex.split(options.ours)
    programs = {"tessera": [ours[0], "bench", *ours[1:]], **dict(options.peer)}
    head = ["model", "test", "threads", *programs, "ratio", "GB/s of reading", "our share"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
    failed = False
    for model in options.models:
        for threads in options.t:
            for test in (("-p", options.p), ("-n", options.n)):
                if test[1] == 0:
                    continue
                turns = {name: functools.partial(run, command, model, test, threads)
                         for name, command in programs.items()}
                if options.read and test[0] == "-n":
                    turns[READ] = functools.partial(read, options.read, threads)
                try:
                    answers = measure(turns, options.rounds)
                except Failure as failure:
                    print(failure, file=sys.stderr)
                    failed = True
                    continue
                cells = row(model.rsplit("/", 1)[-1], test, threads, answers)
                print(f"| {' | '.join(cells)} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
