/** A measurement as a recipe's input, known by its hash. */
import { createGenerator, type Measurement } from "../diffusion/mod.ts";
import { sha256Hex } from "../files/hash.ts";
import type { Input } from "../recipe/inputs.ts";

/** The name under which restoring samplers find it. */
export const MEASUREMENT = "measurement";

/**
 * The hash takes in all that decides what is restored: y, its noise, and H by its shape, its singular
 * values and what it makes of a fixed picture.
 */
export async function measurementInput(measurement: Measurement): Promise<Input> {
  const { operator: { name, shape, measured, s, apply }, y, sigma_y } = measurement;
  const probe = createGenerator(0).randn(s.length);
  const parts = [
    new TextEncoder().encode(`measurement ${JSON.stringify({ name, shape, measured, sigma_y })}\n`),
    ...[Float32Array.from(s), Float32Array.from(apply(probe)), y].map((numbers) =>
      new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength)
    ),
  ];
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return { sha256: await sha256Hex(bytes), value: measurement };
}
