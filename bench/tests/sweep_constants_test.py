# SPDX-License-Identifier: MIT
"""Each constant of sweep_constants.toml is in the code, was measured, and its comment says so."""
import pathlib
import re
import tomllib
import unittest

BENCH = pathlib.Path(__file__).resolve().parents[1]
INCLUDE = BENCH.parent / "include" / "tessera"
CONSTANTS = tomllib.loads((BENCH / "sweep_constants.toml").read_text(encoding="utf-8"))["constant"]


class Constants(unittest.TestCase):
    def test_each_is_found_and_was_measured_among_other_values(self):
        for constant in CONSTANTS:
            with self.subTest(constant["name"]):
                text = (INCLUDE / constant["file"]).read_text(encoding="utf-8")
                found = {match[1] for match in re.finditer(constant["find"], text)}
                self.assertEqual(len(found), 1)
                self.assertIn(int(*found), constant["values"])
                table = (BENCH / "sweeps" / f"{constant['name']}.tsv").read_text(encoding="utf-8")
                for value in constant["values"]:
                    self.assertIn(f"\t{constant['name']}={value}\t", table)
                self.assertIn(f"bench/sweeps/{constant['name']}.tsv", text)

    def test_headers_name_tables_that_exist(self):
        for header in INCLUDE.rglob("*.h"):
            for name in re.findall(r"bench/sweeps/(\w+)\.tsv", header.read_text(encoding="utf-8")):
                self.assertTrue((BENCH / "sweeps" / f"{name}.tsv").exists(), f"{header}: {name}")


if __name__ == "__main__":
    unittest.main()
