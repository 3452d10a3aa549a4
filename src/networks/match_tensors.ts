/** A network's parameters out of the tensors of a file. */
import { allFinite } from "../diffusion/combine.ts";
import { InputError } from "../errors.ts";
import { namesText } from "../files/safetensors.ts";
import type { Architecture } from "./architecture.ts";

/** A tensor as it lies in a file. */
export interface StoredTensor {
  /** As the file says. */
  readonly shape: readonly number[];
  /** Row by row, as float32 whatever the file's type. */
  readonly data: Float32Array;
}

/**
 * The network's parameters out of a file's tensors: renamed, [C, C, 1, 1] attention weights squeezed
 * to [C, C], every shape checked, none missing and none left over, and every number finite.
 * @param currentName today's name of a tensor in the file
 * @throws InputError naming what is missing, left over, of another shape or not finite
 */
export function matchTensors(
  expected: ReadonlyMap<string, readonly number[]>,
  stored: ReadonlyMap<string, StoredTensor>,
  where: string,
  currentName?: Architecture["currentName"],
): Map<string, Float32Array> {
  const found = new Map(
    matchShapes(expected, stored, where, currentName).entries().map(([name, { data }]) =>
      [name, data] as const
    ),
  );
  requireFinite([...found].filter(([, data]) => !allFinite(data)).map(([name]) => name), where);
  return found;
}

/** As {@link matchTensors}, of what has a shape and no numbers yet. */
export function matchShapes<T extends Pick<StoredTensor, "shape">>(
  expected: ReadonlyMap<string, readonly number[]>,
  stored: ReadonlyMap<string, T>,
  where: string,
  currentName: Architecture["currentName"] = (name) => name,
): Map<string, T> {
  const found = new Map<string, T>();
  const foreign: string[] = [];
  for (const [name, tensor] of stored) {
    const current = currentName(name);
    if (current === undefined) continue;
    const shape = expected.get(current);
    if (!shape) {
      foreign.push(name);
      continue;
    }
    if (found.has(current)) {
      throw new InputError(`${where}: "${current}" is there twice, under an old and a new name`);
    }
    if (!fits(tensor.shape, shape)) {
      throw new InputError(
        `${where}: tensor "${name}" has shape [${tensor.shape}], the config asks for [${shape}]`,
      );
    }
    found.set(current, tensor);
  }
  const missing = [...expected.keys()].filter((name) => !found.has(name));
  if (missing.length > 0) {
    throw new InputError(
      `${where}: ${missing.length} of ${expected.size} tensors that the config asks for are missing: ${
        namesText(missing)
      }${foreign.length > 0 ? `; the file has others: ${namesText(foreign)}` : ""}`,
    );
  }
  if (foreign.length > 0) {
    throw new InputError(
      `${where}: ${foreign.length} tensors are not in the network the config describes: ${
        namesText(foreign)
      }`,
    );
  }
  return found;
}

/** @throws InputError where there are names of tensors with numbers that are not finite */
export function requireFinite(broken: readonly string[], where: string): void {
  if (broken.length === 0) return;
  throw new InputError(
    `${where}: numbers of ${broken.length} tensors are not finite (NaN or infinite): ${
      namesText(broken)
    }; the training diverged, or the file was written in too few bits`,
  );
}

function fits(stored: readonly number[], shape: readonly number[]): boolean {
  const squeezed = stored.length === 4 && shape.length === 2 && stored[2] === 1 && stored[3] === 1
    ? stored.slice(0, 2)
    : stored;
  return squeezed.length === shape.length && squeezed.every((d, i) => d === shape[i]);
}
