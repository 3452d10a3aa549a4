/** Whether numbers are 16-bit floats. */

const known = new WeakMap<object, boolean>();

/** Whether IEEE half precision holds every one of these float32 exactly. */
export function fitsHalf(numbers: ArrayBufferView & ArrayLike<number>): boolean {
  const before = known.get(numbers);
  if (before !== undefined) return before;
  const { buffer, byteOffset, length } = numbers;
  const fits = numbers instanceof Float32Array &&
    new Uint32Array(buffer, byteOffset, length).every((bits) => {
      const magnitude = bits & 0x7fffffff;
      if (magnitude >= 0x38800000) return magnitude < 0x47800000 && (magnitude & 0x1fff) === 0;
      // Below 2⁻¹⁴ halves are multiples of 2⁻²⁴.
      return Number.isInteger(floatOf(magnitude) * 2 ** 24);
    });
  known.set(numbers, fits);
  return fits;
}

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

function floatOf(bits: number): number {
  word[0] = bits;
  return float[0];
}
