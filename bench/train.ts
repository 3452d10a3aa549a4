/** One training step of the prototype's network (1.1 million parameters, 32×32, batch 32). */
import { backendByName } from "../src/backends/select.ts";
import { createGenerator, linearBetas, makeSchedule } from "../src/diffusion/mod.ts";
import { initialTheta } from "../src/training/optimiser/init.ts";
import { initialState } from "../src/training/optimiser/layout.ts";
import { networkLayout, TrainStep } from "../src/training/objective/step.ts";
import { parseNetwork } from "../src/networks/registry.ts";
import { readFlags } from "./flags.ts";

const BATCH = 32, SIZE = 32, WARM_UP = 5;

const flags = readFlags(
  "The median and the quickest training step in milliseconds, and the process' memory.",
  {
    backend: ["native", "the engine", ["native", "wasm"]],
    threads: [2, "threads"],
    steps: [30, "steps to measure"],
  },
);
const { steps, threads } = flags;

const network = parseNetwork({
  sample_size: SIZE,
  in_channels: 1,
  out_channels: 1,
  block_out_channels: [32, 64, 64],
  layers_per_block: 1,
  down_block_types: ["DownBlock2D", "DownBlock2D", "AttnDownBlock2D"],
  up_block_types: ["AttnUpBlock2D", "UpBlock2D", "UpBlock2D"],
  norm_num_groups: 8,
  attention_head_dim: null,
  downsample_padding: 0,
  flip_sin_to_cos: false,
  freq_shift: 1,
});

const backend = await backendByName(flags.backend);
const layout = networkLayout(network);
await using step = await TrainStep.create(backend, {
  network,
  schedule: makeSchedule(linearBetas(1000)),
  prediction: "epsilon",
  batch: BATCH,
  maxGradNorm: 1,
  session: { threads },
}, initialState(initialTheta(layout, 0, network.architecture.initialiser)));

const generator = createGenerator(0);
const batch = {
  x_0: generator.randn(BATCH * SIZE * SIZE).map((x) => Math.max(-1, Math.min(1, x))),
  eps: generator.randn(BATCH * SIZE * SIZE),
  t: Float32Array.from({ length: BATCH }, (_, i) => Math.floor(i / BATCH * 1000)),
};
const times: number[] = [];
let loss = 0;
for (let k = 1; k <= WARM_UP + steps; k++) {
  const began = performance.now();
  ({ loss } = await step.run(batch, { step: k, lr: 1e-4, emaDecay: 0.9, seed: 0 }));
  if (k > WARM_UP) times.push(performance.now() - began);
}
times.sort((a, b) => a - b);
console.log(
  `${layout.size} parameters, ${SIZE}×${SIZE}, batch ${BATCH}, ${backend.name}, ${threads} threads: ` +
    `median ${times[steps >> 1].toFixed(0)} ms, quickest ${times[0].toFixed(0)} ms a step, ` +
    `${(Deno.memoryUsage().rss / 2 ** 20).toFixed(0)} MiB resident, loss ${loss.toFixed(4)}`,
);
