/** Small dense matrices, row by row in float64. */

export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float64Array;
}

export function matrix(
  rows: number,
  columns: number,
  at: (row: number, column: number) => number = () => 0,
): Matrix {
  const data = new Float64Array(rows * columns);
  for (let i = 0; i < data.length; i++) data[i] = at(Math.floor(i / columns), i % columns);
  return { rows, columns, data };
}

export function transpose({ rows, columns, data }: Matrix): Matrix {
  return matrix(columns, rows, (i, j) => data[j * columns + i]);
}

/** a·b. */
export function multiply(a: Matrix, b: Matrix): Matrix {
  if (a.columns !== b.rows) {
    throw new Error(`a matrix of ${a.columns} columns times one of ${b.rows} rows`);
  }
  const out = new Float64Array(a.rows * b.columns);
  for (let i = 0; i < a.rows; i++) {
    for (let k = 0; k < a.columns; k++) {
      const factor = a.data[i * a.columns + k];
      if (factor === 0) continue;
      const from = k * b.columns, to = i * b.columns;
      for (let j = 0; j < b.columns; j++) out[to + j] += factor * b.data[from + j];
    }
  }
  return { rows: a.rows, columns: b.columns, data: out };
}

export function identity(n: number): Matrix {
  return matrix(n, n, (i, j) => i === j ? 1 : 0);
}

/** A X Bᵀ for every channel of X, [C, A.columns, B.columns]: an operation on columns, then on rows. */
export function sandwich(a: Matrix, x: ArrayLike<number>, b: Matrix): Float64Array {
  const size = a.columns * b.columns;
  const channels = x.length / size;
  const out = new Float64Array(channels * a.rows * b.rows);
  const bt = transpose(b);
  for (let c = 0; c < channels; c++) {
    const data = Float64Array.from({ length: size }, (_, i) => x[c * size + i]);
    const y = multiply(multiply(a, { rows: a.columns, columns: b.columns, data }), bt);
    out.set(y.data, c * a.rows * b.rows);
  }
  return out;
}
