/** Weights as a numpy archive: an array a tensor under its own name, and the configs beside them. */
import { InputError } from "../../../errors.ts";
import { parseNpy, writeNpy } from "../../../files/npy.ts";
import { readZip, writeZip } from "../../../files/zip.ts";
import type { StoredTensor } from "../../../networks/match_tensors.ts";
import type { TensorFormat } from "./format.ts";

export const npzFormat: TensorFormat = {
  async read(bytes, where) {
    const tensors = new Map<string, StoredTensor>();
    const configs = new Map<string, string>();
    for (const [name, file] of await readZip(bytes, where)) {
      if (name.endsWith(".json")) configs.set(name, new TextDecoder().decode(file));
      if (!name.endsWith(".npy")) continue;
      const { shape, data } = parseNpy(file, `${where}/${name}`);
      if (data instanceof Float32Array || data instanceof Float64Array) {
        tensors.set(name.slice(0, -4), { shape, data: Float32Array.from(data) });
      }
    }
    if (tensors.size === 0) throw new InputError(`${where}: expected arrays of floats, found none`);
    return { tensors, configs };
  },
  write({ tensors, configs }) {
    const encoder = new TextEncoder();
    return writeZip(
      new Map([
        ...[...configs].map(([name, text]) => [name, encoder.encode(text)] as const),
        ...[...tensors].map(([name, tensor]) => [`${name}.npy`, writeNpy(tensor)] as const),
      ]),
      { compress: true },
    );
  },
};
