/** The 16-bit and 8-bit floats that weights are stored in. */

/** IEEE half-precision bits to float32, exactly. */
export function halfToFloat(bits: Uint16Array): Float32Array {
  return new Float32Array(
    new Float16Array(bits.buffer as ArrayBuffer, bits.byteOffset, bits.length),
  );
}

/** bfloat16 bits (float32's upper half) to float32, exactly. */
export function bfloatToFloat(bits: Uint16Array): Float32Array {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i] << 16;
  return new Float32Array(words.buffer);
}

/** float32 to half-precision bits, to nearest, ties to even; from 65520 on it is infinite. */
export function floatToHalf(values: Float32Array): Uint16Array {
  return new Uint16Array(new Float16Array(values).buffer);
}

/**
 * 8-bit floats to float32, exactly: PyTorch's float8_e4m3fn (4 bits of exponent, no infinity, NaN where
 * all bits are set) and float8_e5m2 (5 bits, the upper half of a half).
 */
export function float8ToFloat(bytes: Uint8Array, exponentBits: 4 | 5): Float32Array {
  const table = Float32Array.from({ length: 256 }, (_, byte) => valueOf8(byte, exponentBits));
  return Float32Array.from(bytes, (byte) => table[byte]);
}

function valueOf8(byte: number, exponentBits: 4 | 5): number {
  const sign = byte & 0x80 ? -1 : 1;
  const fractionBits = 7 - exponentBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  const exponent = (byte & 0x7f) >> fractionBits;
  const fraction = (byte & (2 ** fractionBits - 1)) / 2 ** fractionBits;
  if (exponentBits === 5 && exponent === 31) return fraction ? NaN : sign * Infinity;
  if (exponentBits === 4 && (byte & 0x7f) === 0x7f) return NaN;
  return sign *
    (exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias));
}
