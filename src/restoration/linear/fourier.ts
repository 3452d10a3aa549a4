/** The unitary discrete Fourier transform of any length, as a real orthonormal basis. */

/** A complex vector. */
export interface Complex {
  readonly re: Float64Array;
  readonly im: Float64Array;
}

/** e^(−2πi k/n) for k < n, by n. */
const roots = new Map<number, Complex>();

function rootsOf(n: number): Complex {
  let found = roots.get(n);
  if (!found) {
    const angles = Float64Array.from({ length: n }, (_, k) => -2 * Math.PI * k / n);
    roots.set(n, found = { re: angles.map(Math.cos), im: angles.map(Math.sin) });
  }
  return found;
}

function smallestFactor(n: number): number {
  for (let p = 2; p * p <= n; p++) if (n % p === 0) return p;
  return n;
}

/** n numbers of a larger array, `stride` apart. */
interface Stretch {
  readonly x: Complex;
  readonly from: number;
  readonly stride: number;
  readonly n: number;
}

/**
 * X_k = Σ_j x_j e^(∓2πi jk/n) into `out` from `at`, by splitting n into its prime factors (Cooley &
 * Tukey 1965).
 * @param scratch room for n numbers
 */
function transform(
  { x, from, stride, n }: Stretch,
  sign: 1 | -1,
  out: Complex,
  at: number,
  scratch: Complex,
): void {
  if (n === 1) {
    out.re[at] = x.re[from];
    out.im[at] = x.im[from];
    return;
  }
  const p = smallestFactor(n), m = n / p;
  for (let r = 0; r < p; r++) {
    const part = { x, from: from + r * stride, stride: stride * p, n: m };
    transform(part, sign, out, at + r * m, scratch);
  }
  const root = rootsOf(n);
  for (let k = 0; k < n; k++) {
    let re = 0, im = 0;
    for (let r = 0; r < p; r++) {
      const turn = (r * k) % n, q = at + r * m + k % m;
      const c = root.re[turn], s = -sign * root.im[turn];
      re += out.re[q] * c - out.im[q] * s;
      im += out.re[q] * s + out.im[q] * c;
    }
    scratch.re[k] = re;
    scratch.im[k] = im;
  }
  out.re.set(scratch.re.subarray(0, n), at);
  out.im.set(scratch.im.subarray(0, n), at);
}

const zeros = (n: number): Complex => ({ re: new Float64Array(n), im: new Float64Array(n) });

/** The unitary two-dimensional transform of [H, W], or back. */
export function fourier2d(x: Complex, height: number, width: number, back = false): Complex {
  const sign = back ? 1 : -1;
  const scale = 1 / Math.sqrt(height * width);
  const rows = zeros(height * width), out = zeros(height * width);
  const scratch = zeros(Math.max(height, width)), column = zeros(height);
  for (let i = 0; i < height; i++) {
    const row = { x, from: i * width, stride: 1, n: width };
    transform(row, sign, rows, i * width, scratch);
  }
  for (let j = 0; j < width; j++) {
    transform({ x: rows, from: j, stride: width, n: height }, sign, column, 0, scratch);
    for (let i = 0; i < height; i++) {
      out.re[i * width + j] = column.re[i] * scale;
      out.im[i * width + j] = column.im[i] * scale;
    }
  }
  return out;
}

/** Where frequency −k of frequency k lies in [H, W]. */
export function mirrored(at: number, height: number, width: number): number {
  const i = Math.floor(at / width), j = at % width;
  return ((height - i) % height) * width + (width - j) % width;
}

/**
 * The spectrum of a real picture as as many real numbers: √2·Re at k and √2·Im at −k of each pair of
 * conjugate frequencies, Re where k = −k. An orthonormal change of basis.
 */
export function packReal({ re, im }: Complex, height: number, width: number): Float64Array {
  return re.map((_, at) => {
    const twin = mirrored(at, height, width);
    return at === twin ? re[at] : at < twin ? Math.SQRT2 * re[at] : Math.SQRT2 * im[twin];
  });
}

/** The inverse of {@link packReal}. */
export function unpackReal(packed: Float64Array, height: number, width: number): Complex {
  const out = { re: new Float64Array(packed.length), im: new Float64Array(packed.length) };
  packed.forEach((value, at) => {
    const twin = mirrored(at, height, width);
    if (at === twin) out.re[at] = value;
    else if (at < twin) out.re[at] = out.re[twin] = value / Math.SQRT2;
    else {
      out.im[twin] = value / Math.SQRT2;
      out.im[at] = -value / Math.SQRT2;
    }
  });
  return out;
}
