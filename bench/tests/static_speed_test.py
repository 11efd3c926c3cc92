# SPDX-License-Identifier: MIT
"""static_speed.py finds the right tile and its loop in a disassembly; the model itself is llvm-mca's."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import static_speed

MULTIPLY = static_speed.MULTIPLY["aarch64"]
V01 = "void tessera::v0_1"


def name(target, tile, rows):
    return f"{V01}::{target}::{tile}::run<{rows}ul, 1ul>({V01[5:]}::TileArgs const&)"


class Tiles(unittest.TestCase):
    BODY = [(0, "fmla v0.4s, v1.4s, v2.4s")]
    CODE = {
        name("N_NEON", "FmaTile<tessera::v0_1::F32, 2ul, 12ul>", 1): BODY,
        name("N_NEON", "FmaTile<tessera::v0_1::F32, 2ul, 12ul>", 12): BODY,
        name("N_NEON_DOTPROD", "Int8Tile<tessera::v0_1::Q4_0, false, 2ul, 6ul>", 6): BODY,
        name("N_NEON_DOTPROD", "Int8Tile<tessera::v0_1::Q4_0, false, 2ul, 6ul>", 1): BODY,
        name("N_NEON_DOTPROD", "Int8Tile<tessera::v0_1::N_NEON_DOTPROD::UnpackedCodes<false, 1ul, false, 255, 1ul>, false, 2ul, 6ul>",
             5): BODY,
        name("N_AVX2", "Int8Tile<tessera::v0_1::N_AVX2::UnpackedCodes<false, 1ul, true, 255, 2ul>, false, 2ul, 3ul>",
             3): BODY,
        name("N_AVX2", "Int8Tile<tessera::v0_1::N_AVX2::UnpackedCodes<false, 1ul, true, 15, 1ul>, false, 2ul, 3ul>",
             2): BODY,
    }

    def test_the_tallest_and_that_of_one_row(self):
        self.assertEqual(static_speed.tile(self.CODE, "NEON", "f32", 0)[:2], ("NEON", 12))
        self.assertEqual(static_speed.tile(self.CODE, "NEON", "f32", 1)[:2], ("NEON", 1))

    def test_what_a_sub_target_does_not_list_is_its_parents(self):
        self.assertEqual(static_speed.tile(self.CODE, "NEON_DOTPROD", "f32", 0)[:2], ("NEON", 12))

    def test_prepared_panels_are_for_many_rows(self):
        self.assertEqual(static_speed.tile(self.CODE, "NEON_DOTPROD", "q4_0", 0)[1], 5)
        self.assertEqual(static_speed.tile(self.CODE, "NEON_DOTPROD", "q4_0", 1)[1], 1)

    def test_where_bytes_are_multiplied_in_pairs_each_size_of_code_has_its_tile(self):
        self.assertEqual(static_speed.tile(self.CODE, "AVX2", "q4_0", 0)[1], 2)
        self.assertEqual(static_speed.tile(self.CODE, "AVX2", "q8_0", 0)[1], 3)

    def test_a_tile_that_is_not_there(self):
        with self.assertRaises(static_speed.Failure):
            static_speed.tile(self.CODE, "NEON", "q8_0", 0)


class Loops(unittest.TestCase):
    def test_the_loop_with_the_most_multiplications_without_its_branch(self):
        code = [(0, "fmla v0.4s, v1.4s, v2.4s"),
                (4, "add x0, x0, #0x1"), (8, "b.ne 0x4 <f+0x4>"),
                (12, "ldr q1, [x1]"), (16, "sdot v0.4s, v1.16b, v2.4b[0]"), (20, "cmp x0, x1"), (24, "b.ne 0xc <f+0xc>"),
                (28, "ret")]
        self.assertEqual(static_speed.inner_loop(code, MULTIPLY),
                         ["ldr q1, [x1]", "sdot v0.4s, v1.16b, v2.4b[0]", "cmp x0, x1"])

    def test_the_innermost_one_of_nested_loops(self):
        code = [(0, "fmla v9.4s, v1.4s, v2.4s"), (4, "sdot v0.4s, v1.16b, v2.4b[0]"), (8, "b.ne 0x4 <f+0x4>"),
                (12, "fmla v9.4s, v1.4s, v2.4s"), (16, "b.ne 0x0 <f>"), (20, "ret")]
        self.assertEqual([loop for loop, innermost in static_speed.loops(code) if innermost],
                         [["sdot v0.4s, v1.16b, v2.4b[0]"]])
        self.assertEqual(len(static_speed.inner_loop(code, MULTIPLY)), 4)

    def test_products_without_those_of_scales(self):
        dots = ["sdot v0.4s, v1.16b, v2.4b[0]", "smmla v0.4s, v1.16b, v2.16b", "fmla v3.4s, v4.4s, v5.4s"]
        self.assertEqual(static_speed.products_of(dots, "q8_0"), 16 + 32)
        self.assertEqual(static_speed.products_of(dots, "f32"), 4)
        self.assertEqual(static_speed.products_of(["{vex} vpdpbusd %ymm0, %ymm1, %ymm2"], "q4_0"), 32)
        self.assertEqual(static_speed.products_of(["vpmaddubsw %ymm0, %ymm1, %ymm2", "vpmaddwd %ymm2, %ymm3, %ymm4"], "q4_0"), 32)
        self.assertEqual(static_speed.products_of(["vpmaddwd %zmm2, %zmm3, %zmm4"], "q8_0"), 32)
        self.assertEqual(static_speed.products_of(["vfmadd231ps (%rax), %zmm3, %zmm4"], "f32"), 16)

    def test_no_loop(self):
        self.assertEqual(static_speed.inner_loop([(0, "fmla v0.4s, v1.4s, v2.4s"), (4, "ret")], MULTIPLY), [])


if __name__ == "__main__":
    unittest.main()
