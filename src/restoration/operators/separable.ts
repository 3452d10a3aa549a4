/** Operators that work on columns and rows apart: Y = A X Bᵀ for each channel. */
import type { LinearOperator } from "../../diffusion/scheduler.ts";
import { type Matrix, sandwich, transpose } from "../linear/matrix.ts";
import { seen, svd } from "../linear/svd.ts";
import type { PictureShape } from "../operator.ts";

/**
 * Two small decompositions A = U_A S_A V_Aᵀ and B = U_B S_B V_Bᵀ make the large one (Kawar et al.
 * 2022, app. D.5): x̄ = V_Aᵀ X V_B and s_ij = (S_A)_i (S_B)_j, here kept as a picture, unsorted.
 * @param a what is done to columns, rows of A × H
 * @param b what is done to rows, rows of B × W
 */
export function separable(name: string, shape: PictureShape, a: Matrix, b: Matrix): LinearOperator {
  const [channels, height, width] = shape;
  const measured = [channels, a.rows, b.rows] as const;
  const across = svd(b);
  const down = a.rows === b.rows && a.data.every((v, i) => v === b.data[i]) ? across : svd(a);
  const [Vat, Vbt] = [transpose(down.V), transpose(across.V)];
  const [Uat, Ubt] = [transpose(down.U), transpose(across.U)];
  const s = new Float64Array(channels * height * width);
  for (let i = 0; i < s.length; i++) {
    const row = Math.floor(i / width) % height, column = i % width;
    s[i] = (down.s[row] ?? 0) * (across.s[column] ?? 0);
  }
  const [rank_a, rank_b] = [down.s.length, across.s.length];
  /** [C, rank of A, rank of B] inside [C, H, W], and back. */
  const copy = (from: ArrayLike<number>, to: Float64Array, inward: boolean) => {
    for (let c = 0; c < channels; c++) {
      for (let i = 0; i < rank_a; i++) {
        for (let j = 0; j < rank_b; j++) {
          const small = (c * rank_a + i) * rank_b + j, large = (c * height + i) * width + j;
          to[inward ? large : small] = from[inward ? small : large];
        }
      }
    }
    return to;
  };
  return {
    name,
    shape,
    measured,
    s,
    apply: (x) => sandwich(a, x, b),
    Vt: (x) => sandwich(Vat, x, Vbt),
    V: (x_bar) => sandwich(down.V, x_bar, across.V),
    Ut: (y) => seen(s, copy(sandwich(Uat, y, Ubt), new Float64Array(s.length), true)),
    U(c) {
      const small = new Float64Array(channels * rank_a * rank_b);
      return sandwich(down.U, copy(seen(s, c), small, false), across.U);
    },
  };
}
