#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes what follows from cmake/targets.toml: the tables of instruction sets in README.md and of machines in
CONTRIBUTING.md, and the presets of machines, cmake/machines.json.

  targets.py              writes them
  targets.py --check      exit status 1 if one of them is not what the data give
"""
import argparse
import json
import pathlib
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[1]
ENVIRONMENT = {"cpu": "QEMU_CPU", "best": "TESSERA_TEST_BEST", "wine": "WINEDEBUG"}
BEGIN, END = "<!-- targets:begin -->", "<!-- targets:end -->"


def table(head, rows):
    lines = ["| " + " | ".join(line) + " |" for line in [head, *rows]]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def targets_table(data):
    return table(["target", "CPUs that have nothing better", "bf16", "block formats", "compilers", "tested"],
                 [[one["name"], one["cpus"], one["bf16"], one["blocks"],
                   "GCC 11, Clang 14" if one["compilers"] == "all" else one["compilers"], one["checked"]]
                  for one in data["target"]])


def machines_table(data):
    rows = []
    for machine in data["machine"]:
        for run in machine["runs"]:
            where = f"`{run['cpu']}`" if "cpu" in run else ""
            rows.append([f"`{machine['preset']}`", f"`{run['preset']}`", run.get("what", machine["what"]), where,
                         run.get("best", ""), machine["tests"]])
    return table(["preset", "test preset", "what it is", "CPU", "best target there", "tests"], rows)


def presets(data):
    configure, build, test = [], [], []
    for machine in data["machine"]:
        toolchain = machine.get("toolchain", "cross_debian.cmake")
        variables = {}
        if "triple" in machine:
            variables["TESSERA_CROSS"] = machine["triple"]
        if "clang" in machine:
            variables["TESSERA_CROSS_CLANG"] = machine["clang"]
        if machine["tests"] == "plain":
            variables["TESSERA_PLAIN_TESTS"] = "ON"
            if not machine.get("examples"):
                variables["TESSERA_BUILD_EXAMPLES"] = "OFF"
        configure.append({"name": machine["preset"], "displayName": machine["what"], "inherits": "cross",
                          "toolchainFile": "${sourceDir}/cmake/" + toolchain, "cacheVariables": variables})
        build.append({"name": machine["preset"], "configurePreset": machine["preset"]})
        for run in machine["runs"]:
            entry = {"name": run["preset"], "inherits": "base", "configurePreset": machine["preset"]}
            if "what" in run:
                entry["displayName"] = run["what"]
            if "exclude" in run:
                entry["filter"] = {"exclude": {"name": run["exclude"]}}
            entry["environment"] = {name: run[key] for key, name in ENVIRONMENT.items() if key in run}
            test.append(entry)
    return json.dumps({
        "version": 5,
        "vendor": {"tessera": {"SPDX-License-Identifier": "MIT", "made by": "cmake/targets.py"}},
        "include": ["base_presets.json"],
        "configurePresets": configure, "buildPresets": build, "testPresets": test}, indent=2) + "\n"


def replaced(text, part):
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{part}\n{END}{rest.split(END)[1]}"


def wanted(data):
    """{file: its text}"""
    return {
        ROOT / "README.md": replaced((ROOT / "README.md").read_text(), targets_table(data)),
        ROOT / "CONTRIBUTING.md": replaced((ROOT / "CONTRIBUTING.md").read_text(), machines_table(data)),
        ROOT / "cmake/machines.json": presets(data),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    data = tomllib.loads((ROOT / "cmake/targets.toml").read_text())
    problems = []
    for path, text in wanted(data).items():
        if path.exists() and path.read_text() == text:
            continue
        if options.check:
            problems.append(f"{path.relative_to(ROOT)} is not what cmake/targets.toml gives: run cmake/targets.py")
        else:
            path.write_text(text)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
