/** The 16-bit floats that weights are stored in. */

/** IEEE half-precision bits to float32. */
export function halfToFloat(bits: Uint16Array): Float32Array {
  return Float32Array.from(bits, (h) => {
    const sign = h & 0x8000 ? -1 : 1;
    const exponent = (h >> 10) & 31;
    const fraction = h & 0x3ff;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
}

/** bfloat16 bits (float32's upper half) to float32. */
export function bfloatToFloat(bits: Uint16Array): Float32Array {
  const words = Uint32Array.from(bits, (b) => b << 16);
  return new Float32Array(words.buffer);
}

/** float32 to half-precision bits, to nearest, ties to even; beyond 65504 is infinite. */
export function floatToHalf(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(words, (word) => {
    const sign = (word >>> 16) & 0x8000;
    const magnitude = word & 0x7fffffff;
    if (magnitude > 0x7f800000) return sign | 0x7e00;
    if (magnitude >= 0x47800000) return sign | 0x7c00;
    // Below 2⁻¹⁴ halves are multiples of 2⁻²⁴.
    if (magnitude < 0x38800000) {
      const float = new Float32Array(Uint32Array.of(magnitude).buffer)[0];
      return sign | roundHalfToEven(float * 2 ** 24);
    }
    const shifted = magnitude - 0x38000000;
    const kept = shifted >>> 13;
    const rest = shifted & 0x1fff;
    return sign | (kept + (rest > 0x1000 || (rest === 0x1000 && (kept & 1)) ? 1 : 0));
  });
}

function roundHalfToEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
