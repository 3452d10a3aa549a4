/**
 * A network as a sampler asks it about one image: in the sampler's own time, guided, its output turned
 * into eps and x_0. Sampling, inversion, evaluation and distillation ask through this one function.
 */
import { isGuided } from "../diffusion/guided.ts";
import { combine, type Denoised, denoisedFrom, predictionCoefficients } from "../diffusion/mod.ts";
import type { Network } from "../model/network.ts";
import { Batcher } from "./batcher.ts";
import { checkConditioning, type Conditioning } from "../recipe/conditioning.ts";
import type { Plan } from "./plan.ts";

/** Asks a network about x_t, [C, H, W] flattened. Several calls may be pending; they share evaluations. */
export interface Denoiser {
  /** How many numbers x_t has. */
  readonly size: number;
  /** Whether answers are guided, at some time at least. */
  readonly guided: boolean;
  /**
   * What the network says about x_t, never clipped.
   * @param alpha_bar x_t's ᾱ where it is not the schedule's at t
   * @throws InputError for an x_t of another size; the signal's reason
   */
  denoise(x_t: Float32Array, t: number, alpha_bar?: number): Promise<Denoised>;
  /**
   * (∂eps/∂x_t)ᵀ u, the gradient of Σ u·eps with respect to x_t, for u of x_t's shape. It costs about
   * two evaluations. Undefined where the network has no gradient, as a bare ONNX file.
   * @throws InputError where the engine cannot run the gradient
   */
  readonly vjp?: (
    x_t: Float32Array,
    t: number,
    u: Float32Array,
    alpha_bar?: number,
  ) => Promise<Float32Array>;
}

/** The noise levels that are asked about, and the model's time for each. */
export type Levels = Pick<Plan, "schedule" | "modelTime" | "config">;

/**
 * @param asked a batcher, which gathers the calls of many denoisers, or a network of its own
 * @param signal rejects what is pending, and everything after
 * @throws InputError where the network cannot be asked in this way
 */
export function denoiserOf(
  asked: Batcher | Network,
  { schedule, modelTime, config: { prediction_type } }: Levels,
  conditioning: Conditioning,
  signal?: AbortSignal,
): Denoiser {
  const batcher = asked instanceof Batcher ? asked : new Batcher(asked);
  const { network } = batcher;
  checkConditioning(network, conditioning);
  const size = network.shape.reduce((a, b) => a * b);
  const { label, mix, guidance, nullLabel = network.nullLabel } = conditioning;
  const guided = guidance !== 1;

  /** The output for the class, or on the way from it to a second one, as guidance is from none to it. */
  const askClass = async (x: Float32Array, t: number, u?: Float32Array): Promise<Float32Array> => {
    const own = batcher.evaluate({ x, t, label, u, signal });
    if (mix?.label === undefined) return own;
    const both = [own, batcher.evaluate({ x, t, label: mix.label, u, signal })];
    const [one, other] = await Promise.all(both);
    return combine([1 - mix.share, one], [mix.share, other]);
  };

  /** The network's own output, or its vjp with u, guided (Ho & Salimans 2022): both are linear in it. */
  const ask = async (x: Float32Array, t: number, u?: Float32Array): Promise<Float32Array> => {
    const conditional = askClass(x, t, u);
    if (!isGuided(conditioning, t)) return conditional;
    const [cond, uncond] = await Promise.all([
      conditional,
      batcher.evaluate({ x, t, label: nullLabel, u, signal }),
    ]);
    const sum = combine([1 - guidance, uncond], [guidance, cond]);
    // Of a 2C-channel output the second half is the variance: it is the conditional one.
    sum.set(cond.subarray(size), size);
    return sum;
  };

  return {
    size,
    guided,
    async denoise(x_t, t, alpha_bar) {
      const output = await ask(x_t, modelTime(t, alpha_bar));
      return denoisedFrom(prediction_type, output, x_t, alpha_bar ?? schedule.alpha_bar(t));
    },
    ...(network.vjp && {
      async vjp(x_t, t, u, alpha_bar) {
        const { eps } = predictionCoefficients(
          prediction_type,
          alpha_bar ?? schedule.alpha_bar(t),
        );
        // eps does not depend on the variance half of the output.
        const padding = (network.outChannels / network.shape[0] - 1) * size;
        const ofOutput = new Float32Array(u.length + padding);
        ofOutput.set(u);
        const gradient = await ask(x_t, modelTime(t, alpha_bar), ofOutput);
        return combine([eps.output, gradient], [eps.x_t, u]);
      },
    } satisfies Partial<Denoiser>),
  };
}
