/** The singular value decomposition of a dense matrix. */
import { type Matrix, matrix, transpose } from "./matrix.ts";

/** A = U diag(s) Vᵀ. V is square; U has a column for each s, and s.length = min(rows, columns). */
export interface Svd {
  readonly U: Matrix;
  readonly s: Float64Array;
  readonly V: Matrix;
}

/** The components that have a singular value; 0 in place of the others. */
export function seen(s: Float64Array, c: ArrayLike<number>): Float64Array {
  return s.map((value, i) => value > 0 ? c[i] : 0);
}

/** Rotations end when every pair of columns is orthogonal to this share of their lengths. */
const ORTHOGONAL = 1e-14;
const MOST_SWEEPS = 60;
/** Singular values below this share of the whole matrix' length are rounding, and are 0. */
const ROUNDING = 1e-12;

/**
 * One-sided Jacobi (Hestenes 1958): pairs of columns are rotated until all are orthogonal; their
 * lengths are the singular values. Slower than Golub and Kahan's method, and accurate to the last
 * digits for the small ones too. s descends.
 */
export function svd(a: Matrix): Svd {
  if (a.rows >= a.columns) {
    const { left, s, right } = jacobi(a);
    return { U: left, s, V: right };
  }
  const { left, s, right } = jacobi(transpose(a));
  return { U: right, s, V: completed(left) };
}

/** A = left diag(s) rightᵀ for rows ≥ columns; left [rows, columns], right [columns, columns]. */
function jacobi({ rows, columns, data }: Matrix) {
  // Columns lie one after another, so that a rotation walks through memory.
  const a = Array.from(
    { length: columns },
    (_, j) => Float64Array.from({ length: rows }, (_, i) => data[i * columns + j]),
  );
  const v = Array.from({ length: columns }, (_, j) => {
    const e = new Float64Array(columns);
    e[j] = 1;
    return e;
  });
  const least = ROUNDING * Math.sqrt(a.reduce((sum, column) => sum + dot(column, column), 0));
  for (let sweep = 0; sweep < MOST_SWEEPS; sweep++) {
    let rotated = false;
    for (let p = 0; p < columns; p++) {
      for (let q = p + 1; q < columns; q++) {
        const alpha = dot(a[p], a[p]), beta = dot(a[q], a[q]), gamma = dot(a[p], a[q]);
        // A column that is all rounding would turn for ever.
        if (Math.min(alpha, beta) <= least ** 2) continue;
        if (Math.abs(gamma) <= ORTHOGONAL * Math.sqrt(alpha * beta)) continue;
        rotated = true;
        const zeta = (beta - alpha) / (2 * gamma);
        const t = (zeta >= 0 ? 1 : -1) / (Math.abs(zeta) + Math.hypot(1, zeta));
        const c = 1 / Math.hypot(1, t);
        rotate(a[p], a[q], c, c * t);
        rotate(v[p], v[q], c, c * t);
      }
    }
    if (!rotated) break;
  }
  const lengths = a.map((column) => Math.sqrt(dot(column, column)));
  const order = lengths.map((_, j) => j).sort((i, j) => lengths[j] - lengths[i]);
  const s = Float64Array.from(order, (j) => lengths[j] > least ? lengths[j] : 0);
  const left = matrix(rows, columns, (i, k) => s[k] > 0 ? a[order[k]][i] / s[k] : 0);
  return { left: orthonormal(left), s, right: matrix(columns, columns, (i, k) => v[order[k]][i]) };
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function rotate(a: Float64Array, b: Float64Array, c: number, s: number): void {
  for (let i = 0; i < a.length; i++) {
    const p = a[i], q = b[i];
    a[i] = c * p - s * q;
    b[i] = s * p + c * q;
  }
}

/** The columns that are zero replaced by unit vectors orthogonal to all the others. */
function orthonormal({ rows, columns, data }: Matrix): Matrix {
  const basis: Float64Array[] = [];
  const column = (j: number) =>
    Float64Array.from({ length: rows }, (_, i) => data[i * columns + j]);
  // What each axis has of itself outside the span so far: the axis with most is taken next.
  const outside = new Float64Array(rows).fill(1);
  const add = (vector: Float64Array) => {
    vector.forEach((x, i) => outside[i] -= x * x);
    basis.push(vector);
  };
  const empty: number[] = [];
  for (let j = 0; j < columns; j++) {
    const vector = column(j);
    if (vector.some((x) => x !== 0)) add(vector);
    else empty.push(j);
  }
  const filled = new Map<number, Float64Array>();
  for (const j of empty) {
    const vector = new Float64Array(rows);
    vector[outside.indexOf(outside.reduce((a, b) => Math.max(a, b), -Infinity))] = 1;
    // Twice is enough (Kahan): the second pass takes out what rounding left.
    for (let pass = 0; pass < 2; pass++) {
      for (const other of basis) {
        const share = dot(vector, other);
        for (let i = 0; i < rows; i++) vector[i] -= share * other[i];
      }
    }
    const length = Math.sqrt(dot(vector, vector));
    const unit = vector.map((x) => x / length);
    add(unit);
    filled.set(j, unit);
  }
  return matrix(rows, columns, (i, j) => filled.get(j)?.[i] ?? data[i * columns + j]);
}

/** An orthonormal set of columns with those that make it a basis behind it. */
function completed(q: Matrix): Matrix {
  return orthonormal(
    matrix(q.rows, q.rows, (i, j) => j < q.columns ? q.data[i * q.columns + j] : 0),
  );
}
