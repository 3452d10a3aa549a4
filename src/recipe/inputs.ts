/** What a picture is made from beside its seed, known in its recipe by hash. */
import type { Scheduler } from "../diffusion/scheduler.ts";
import { FieldError } from "../errors.ts";
import { sha256Hex } from "../files/hash.ts";

/** A measurement, a mask, a starting point. */
export interface Input {
  /** In lower-case hex; two inputs with one hash are one input. */
  readonly sha256: string;
  /** What the sampler gets as `run.inputs[name]`. */
  readonly value: unknown;
}

/** Inputs by the names that a sampler knows them by. */
export type Inputs = Readonly<Record<string, Input>>;

/** An input of numbers: its hash is that of its shape and its float32 values, little-endian. */
export async function tensorInput(
  data: Float32Array,
  shape: readonly number[] = [data.length],
): Promise<Input> {
  const head = new TextEncoder().encode(`float32 [${shape}]\n`);
  const bytes = new Uint8Array(head.length + data.byteLength);
  bytes.set(head);
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), head.length);
  return { sha256: await sha256Hex(bytes), value: data };
}

/** The hashes of some inputs by name; undefined for none. */
export function hashesOf(inputs: Inputs = {}): Record<string, string> | undefined {
  const names = Object.keys(inputs).sort();
  if (names.length === 0) return undefined;
  return Object.fromEntries(names.map((name) => [name, inputs[name].sha256]));
}

/** The values of some inputs by name, as a sampler gets them. */
export function valuesOf(inputs: Inputs = {}): Record<string, unknown> {
  return Object.fromEntries(Object.entries(inputs).map(([name, { value }]) => [name, value]));
}

/** @throws FieldError where a sampler lacks an input, or is given one it would pass over */
export function checkInputs({ name, needs = [] }: Scheduler, given: Inputs = {}): void {
  const inputs = needs.filter((need) => need !== "vjp");
  for (const input of inputs) {
    if (!Object.hasOwn(given, input)) {
      throw new FieldError(`inputs.${input}`, `one: "${name}" starts from it`, undefined);
    }
  }
  for (const input of Object.keys(given)) {
    if (!inputs.includes(input)) {
      const known = inputs.join(", ") || "none";
      throw new FieldError("inputs", `inputs of "${name}" (${known})`, input);
    }
  }
}
