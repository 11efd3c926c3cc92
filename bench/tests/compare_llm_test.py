# SPDX-License-Identifier: MIT
"""compare_llm.py on programs that only say how fast they were."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "compare_llm.py"
PROGRAM = """#!{python}
import json, sys
args = dict(zip(sys.argv[{skip}::2], sys.argv[{skip} + 1::2]))
if args["-m"] == "broken.gguf":
    sys.exit("no such model")
speed = {speed} * (2 if args["-n"] != "0" else 1) * int(args["-t"])
print(json.dumps([{{"avg_ts": speed, "weight_bytes": 10**9}}]))
"""
READER = """#!{python}
import sys
assert sys.argv[1:3] == ["--read", "--threads"]
print(24 * int(sys.argv[3]))
"""


class Compare(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def program(self, name, text, **values):
        path = os.path.join(self.folder.name, name)
        pathlib.Path(path).write_text(text.format(python=sys.executable, **values), encoding="utf-8")
        os.chmod(path, 0o755)
        return path

    def compare(self, *arguments):
        ours = self.program("ours", PROGRAM, speed=6, skip=2)
        fast = self.program("fast", PROGRAM, speed=4, skip=1)
        slow = self.program("slow", PROGRAM, speed=2, skip=3)
        return subprocess.run([sys.executable, SCRIPT, "--ours", ours, "--peer", f"fast={fast}", "--peer",
                               f"slow={slow} -rtr 1", *arguments], capture_output=True, text=True, check=False)

    def test_medians_ratios_and_bandwidth(self):
        done = self.compare("a/model.gguf", "-t", "1,2", "--read", self.program("read", READER))
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0], "| model | test | threads | tessera | fast | slow | ratio | "
                                   "GB/s of reading | our share |")
        self.assertEqual(lines[2], "| model.gguf | pp512 | 1 | 6.00 (6.00 .. 6.00) | 4.00 (4.00 .. 4.00) | "
                                   "2.00 (2.00 .. 2.00) | 1.50 x fast |  |  |")
        for line, read in (lines[3], 24), (lines[5], 48):  # of which 12 and 24 are ours
            self.assertTrue(line.endswith(f"| 1.50 x fast | {read}.0 ({read}.0 .. {read}.0) | 50 % |"), line)

    def test_failure(self):
        done = self.compare("broken.gguf", "model.gguf", "-n", "0")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no such model", done.stderr)
        self.assertEqual(len(done.stdout.splitlines()), 3)  # the other model is measured

    def test_arguments(self):
        self.assertEqual(self.compare("model.gguf", "--peer", "nothing").returncode, 2)
        silent = self.program("silent", "#!{python}\n")
        done = self.compare("model.gguf", "--read", silent)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no number on stdout", done.stderr)


if __name__ == "__main__":
    unittest.main()
