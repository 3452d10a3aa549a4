/** The 16-bit floats that weights are stored in. */

let table: Float32Array | undefined;

/** IEEE half-precision bits to float32, exactly. */
export function halfToFloat(bits: Uint16Array): Float32Array {
  table ??= Float32Array.from({ length: 65536 }, (_, h) => valueOfHalf(h));
  const floats = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) floats[i] = table[bits[i]];
  return floats;
}

function valueOfHalf(h: number): number {
  const sign = h & 0x8000 ? -1 : 1;
  const exponent = (h >> 10) & 31;
  const fraction = h & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** bfloat16 bits (float32's upper half) to float32, exactly. */
export function bfloatToFloat(bits: Uint16Array): Float32Array {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i] << 16;
  return new Float32Array(words.buffer);
}

/** float32 to half-precision bits, to nearest, ties to even; from 65520 on it is infinite. */
export function floatToHalf(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bits = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) {
    const sign = (words[i] >>> 16) & 0x8000;
    const magnitude = words[i] & 0x7fffffff;
    bits[i] = sign | (magnitude < 0x38800000
      // Below 2⁻¹⁴ halves are multiples of 2⁻²⁴.
      ? roundHalfToEven(Math.abs(values[i]) * 2 ** 24)
      : roundedBits(magnitude));
  }
  return bits;
}

function roundedBits(magnitude: number): number {
  if (magnitude > 0x7f800000) return 0x7e00;
  if (magnitude >= 0x47800000) return 0x7c00;
  const shifted = magnitude - 0x38000000;
  const kept = shifted >>> 13;
  const rest = shifted & 0x1fff;
  return kept + (rest > 0x1000 || (rest === 0x1000 && (kept & 1)) ? 1 : 0);
}

function roundHalfToEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
