/** A network's first parameters. */
import { createGenerator, seedFromName } from "../../diffusion/random.ts";
import type { ParamLayout, ParamPlace } from "./layout.ts";

/** The last layer of every residual branch, and of the network: at first each adds nothing. */
const residualEnd = /(^|\.)(conv2|to_out\.0|conv_out)\.weight$/;

/**
 * Parameters as Ho et al. 2020 start with (their code's `default_init`): weights uniform with variance
 * 2/(fan_in + fan_out), biases 0, norms 1, the ends of residual branches 0; class embeddings N(0, 1),
 * as in diffusers. Each tensor depends on the seed and its own name alone.
 */
export function initialTheta(layout: ParamLayout, seed: number): Float32Array {
  const theta = new Float32Array(layout.size);
  for (const place of layout.params) {
    theta.set(initialTensor(place, seed), place.offset);
  }
  return theta;
}

function initialTensor({ name, shape, size }: ParamPlace, seed: number): Float32Array {
  const constant = (x: number) => new Float32Array(size).fill(x);
  if (name.endsWith(".bias") || residualEnd.test(name)) return constant(0);
  if (shape.length < 2) return constant(1);
  const generator = createGenerator(seedFromName(`${seed} ${name}`));
  if (name.endsWith("embedding.weight")) return generator.randn(size);
  const [out, into, ...kernel] = shape;
  const positions = kernel.reduce((n, d) => n * d, 1);
  const limit = Math.sqrt(6 / ((into + out) * positions));
  return constant(0).map(() => limit * (2 * generator.uint32() / 2 ** 32 - 1));
}
