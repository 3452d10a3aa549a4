/** Initialises a network's parameters. */
import { createGenerator, seedFromName } from "../../diffusion/random.ts";
import type { Architecture } from "../../networks/architecture.ts";
import type { ParamLayout, ParamPlace } from "./layout.ts";

/**
 * Parameters as Ho et al. 2020 start with (their code's `default_init`): weights uniform with variance
 * 2/(fan_in + fan_out), biases 0, norms 1; what its architecture says otherwise (the ends of residual
 * branches 0, embeddings N(0, 1) as in diffusers) comes first. Each tensor depends on the seed and its
 * own name alone.
 */
export function initialTheta(
  layout: ParamLayout,
  seed: number,
  initialiser: Architecture["initialiser"] = () => undefined,
): Float32Array {
  const theta = new Float32Array(layout.size);
  for (const place of layout.params) {
    theta.set(initialTensor(place, seed, initialiser(place.name)), place.offset);
  }
  return theta;
}

function initialTensor(
  { name, shape, size }: ParamPlace,
  seed: number,
  chosen: "zeros" | "normal" | undefined,
): Float32Array {
  const constant = (x: number) => new Float32Array(size).fill(x);
  if (name.endsWith(".bias") || chosen === "zeros") return constant(0);
  if (shape.length < 2) return constant(1);
  const generator = createGenerator(seedFromName(`${seed} ${name}`));
  if (chosen === "normal") return generator.randn(size);
  const [out, into, ...kernel] = shape;
  const positions = kernel.reduce((n, d) => n * d, 1);
  const limit = Math.sqrt(6 / ((into + out) * positions));
  return constant(0).map(() => limit * (2 * generator.uint32() / 2 ** 32 - 1));
}
