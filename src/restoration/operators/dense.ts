/** A matrix of the user's own. */
import type { LinearOperator } from "../../diffusion/scheduler.ts";
import { InputError } from "../../errors.ts";
import { type Matrix, matrix, multiply, transpose } from "../linear/matrix.ts";
import { seen, svd } from "../linear/svd.ts";
import type { PictureShape } from "../operator.ts";

/** Pictures of more numbers would take minutes and gigabytes to decompose. */
export const MOST_NUMBERS = 4096;

/**
 * y = H x for any small matrix, its decomposition computed once (seconds for 28×28).
 * @param h rows of y, columns of x in the order [C, H, W]
 */
export function dense(shape: PictureShape, h: Matrix, name = "matrix"): LinearOperator {
  const n = shape[0] * shape[1] * shape[2];
  if (h.columns !== n) {
    throw new InputError(
      `matrix: expected ${n} columns, one for each number of [${shape}], found ${h.columns}`,
    );
  }
  if (n > MOST_NUMBERS || h.rows > MOST_NUMBERS) {
    throw new InputError(
      `matrix: expected at most ${MOST_NUMBERS} rows and columns, found ${h.rows}×${h.columns}`,
    );
  }
  if (!h.data.every(Number.isFinite)) throw new InputError("matrix: expected finite numbers");
  const { U, s: values, V } = svd(h);
  const s = new Float64Array(n);
  s.set(values);
  const [Ut, Vt] = [transpose(U), transpose(V)];
  const times = (m: Matrix, x: ArrayLike<number>) =>
    multiply(m, matrix(m.columns, 1, (i) => x[i])).data;
  return {
    name,
    shape,
    measured: [h.rows, 1, 1],
    s,
    apply: (x) => times(h, x),
    Vt: (x) => times(Vt, x),
    V: (x_bar) => times(V, x_bar),
    Ut(y) {
      const c = new Float64Array(n);
      c.set(times(Ut, y));
      return seen(s, c);
    },
    U: (c) => times(U, seen(s, c)),
  };
}
