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
print(json.dumps([{{"avg_ts": speed, "model_size": 10**9}}]))
"""


class Compare(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def program(self, name, speed, skip):
        path = os.path.join(self.folder.name, name)
        pathlib.Path(path).write_text(PROGRAM.format(python=sys.executable, speed=speed, skip=skip), encoding="utf-8")
        os.chmod(path, 0o755)
        return path

    def compare(self, *arguments):
        ours, fast, slow = self.program("ours", 6, 2), self.program("fast", 4, 1), self.program("slow", 2, 3)
        return subprocess.run([sys.executable, SCRIPT, "--ours", ours, "--peer", f"fast={fast}", "--peer",
                               f"slow={slow} -rtr 1", *arguments], capture_output=True, text=True, check=False)

    def test_medians_ratios_and_bandwidth(self):
        done = self.compare("a/model.gguf", "--bandwidth", "24")
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0], "| model | test | threads | tessera | fast | slow | ratio | of bandwidth |")
        self.assertEqual(lines[2], "| model.gguf | pp512 | 1 | 6.00 (6.00 .. 6.00) | 4.00 (4.00 .. 4.00) | "
                                   "2.00 (2.00 .. 2.00) | 1.50 x fast |  |")
        self.assertTrue(lines[3].endswith("| 1.50 x fast | 50 % |"), lines[3])  # 12 GB/s of 24

    def test_failure(self):
        done = self.compare("broken.gguf", "model.gguf", "-n", "0")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no such model", done.stderr)
        self.assertEqual(len(done.stdout.splitlines()), 3)  # the other model is measured

    def test_arguments(self):
        self.assertEqual(self.compare("model.gguf", "-t", "1,2", "--bandwidth", "24").returncode, 2)
        self.assertEqual(self.compare("model.gguf", "--peer", "nothing").returncode, 2)


if __name__ == "__main__":
    unittest.main()
