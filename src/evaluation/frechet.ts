/** The Fréchet distance between two sets of features. */
import { EigenvalueDecomposition, Matrix } from "npm:ml-matrix@6.15.1";

/**
 * ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½), the squared Fréchet (Wasserstein-2) distance between normal
 * distributions of the two sets' means and covariances (Heusel et al. 2017, eq. 6).
 * @param a, b features, a row each; at least two rows
 */
export function frechetDistance(a: readonly Float32Array[], b: readonly Float32Array[]): number {
  const [first, second] = [moments(a), moments(b)];
  const means = first.mean.reduce((sum, m, i) => sum + (m - second.mean[i]) ** 2, 0);
  // (Σ₁Σ₂)^½ and the symmetric (Σ₁^½·Σ₂·Σ₁^½)^½ have the same trace.
  const root = squareRoot(first.covariance);
  const product = root.mmul(second.covariance).mmul(root);
  const trace = eigenvalues(product).reduce((sum, x) => sum + Math.sqrt(Math.max(0, x)), 0);
  return means + first.covariance.trace() + second.covariance.trace() - 2 * trace;
}

function moments(rows: readonly Float32Array[]) {
  if (rows.length < 2) throw new Error(`expected at least two rows, found ${rows.length}`);
  const dims = rows[0].length;
  const mean = new Float64Array(dims);
  for (const row of rows) row.forEach((x, i) => mean[i] += x / rows.length);
  const covariance = Matrix.zeros(dims, dims);
  for (const row of rows) {
    for (let i = 0; i < dims; i++) {
      const x = row[i] - mean[i];
      for (let j = 0; j <= i; j++) {
        covariance.set(i, j, covariance.get(i, j) + x * (row[j] - mean[j]));
      }
    }
  }
  covariance.div(rows.length - 1);
  for (let i = 0; i < dims; i++) {
    for (let j = 0; j < i; j++) covariance.set(j, i, covariance.get(i, j));
  }
  return { mean, covariance };
}

function symmetrised(m: Matrix): Matrix {
  return Matrix.add(m, m.transpose()).mul(0.5);
}

function eigenvalues(m: Matrix): number[] {
  return new EigenvalueDecomposition(symmetrised(m), { assumeSymmetric: true }).realEigenvalues;
}

function squareRoot(m: Matrix): Matrix {
  const { eigenvectorMatrix: v, realEigenvalues } = new EigenvalueDecomposition(symmetrised(m), {
    assumeSymmetric: true,
  });
  const roots = Matrix.diag(realEigenvalues.map((x) => Math.sqrt(Math.max(0, x))));
  return v.mmul(roots).mmul(v.transpose());
}
