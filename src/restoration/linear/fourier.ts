/** The unitary discrete Fourier transform of any length, as a real orthonormal basis. */

/** A complex vector. */
export interface Complex {
  readonly re: Float64Array;
  readonly im: Float64Array;
}

/** Σ_j x_j e^(∓2πi jk/n), by splitting n into its prime factors (Cooley & Tukey 1965). */
function transform({ re, im }: Complex, sign: 1 | -1): Complex {
  const n = re.length;
  if (n === 1) return { re: re.slice(), im: im.slice() };
  let p = 2;
  while (n % p !== 0) p++;
  const m = n / p;
  const parts = Array.from({ length: p }, (_, r) => {
    const take = (v: Float64Array) => Float64Array.from({ length: m }, (_, j) => v[j * p + r]);
    return m === 1
      ? { re: take(re), im: take(im) }
      : transform({ re: take(re), im: take(im) }, sign);
  });
  const out = { re: new Float64Array(n), im: new Float64Array(n) };
  for (let k = 0; k < n; k++) {
    for (let r = 0; r < p; r++) {
      const angle = sign * 2 * Math.PI * ((r * k) % n) / n;
      const c = Math.cos(angle), s = Math.sin(angle);
      const a = parts[r].re[k % m], b = parts[r].im[k % m];
      out.re[k] += a * c - b * s;
      out.im[k] += a * s + b * c;
    }
  }
  return out;
}

/** The unitary two-dimensional transform of [H, W], or back. */
export function fourier2d(x: Complex, height: number, width: number, back = false): Complex {
  const sign = back ? 1 : -1;
  const scale = 1 / Math.sqrt(height * width);
  const out = { re: new Float64Array(x.re.length), im: new Float64Array(x.re.length) };
  for (let i = 0; i < height; i++) {
    const row = transform(
      {
        re: x.re.subarray(i * width, (i + 1) * width),
        im: x.im.subarray(i * width, (i + 1) * width),
      },
      sign,
    );
    out.re.set(row.re, i * width);
    out.im.set(row.im, i * width);
  }
  for (let j = 0; j < width; j++) {
    const take = (v: Float64Array) =>
      Float64Array.from({ length: height }, (_, i) => v[i * width + j]);
    const column = transform({ re: take(out.re), im: take(out.im) }, sign);
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
