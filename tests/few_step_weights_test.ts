/** The shipped students: diffusers' DDIMScheduler written out draws what `generate` draws. */
import { assert, assertEquals } from "@std/assert";
import { createGenerator, scheduleFor } from "../src/diffusion/mod.ts";
import { toPixels } from "../src/image/pixels.ts";
import { load } from "../src/model/load.ts";
import type { Model } from "../src/model/model.ts";
import { generate } from "../src/sampling/pictures.ts";
import { builtInWeights } from "../src/weights/find/locate.ts";

const students = Object.keys(builtInWeights).filter((name) => /-\d+$/.test(name));

/** DDIMScheduler.set_timesteps (trailing) and .step (v_prediction, η = 0), as diffusers writes them. */
async function ddim(model: Model, config: Record<string, unknown>, seed: number, label: number) {
  const T = config.num_train_timesteps as number;
  const n = model.recommended!.steps;
  const { alphas_cumprod } = scheduleFor(model.scheduler);
  const timesteps = Array.from({ length: n }, (_, i) => Math.round(T - i * T / n) - 1);
  let x = createGenerator(seed).randn(model.shape.reduce((a, b) => a * b));
  for (const t of timesteps) {
    const previous = t - Math.floor(T / n);
    const alpha_prod_t = alphas_cumprod[t];
    const alpha_prod_t_prev = previous >= 0 ? alphas_cumprod[previous] : 1;
    const beta_prod_t = 1 - alpha_prod_t;
    const v = await model.predict(x, Float32Array.of(t), Int32Array.of(label));
    x = x.map((x_t, p) => {
      const original = alpha_prod_t ** 0.5 * x_t - beta_prod_t ** 0.5 * v[p];
      const epsilon = alpha_prod_t ** 0.5 * v[p] + beta_prod_t ** 0.5 * x_t;
      const clipped = Math.min(1, Math.max(-1, original));
      return alpha_prod_t_prev ** 0.5 * clipped + (1 - alpha_prod_t_prev) ** 0.5 * epsilon;
    });
  }
  return toPixels(x, model.shape);
}

for (const name of students) {
  Deno.test(`${name}: its folder asks diffusers for the steps that it was taught`, async () => {
    const text = await Deno.readTextFile(
      new URL("scheduler/scheduler_config.json", builtInWeights[name]),
    );
    const config = JSON.parse(text);
    assertEquals(config._class_name, "DDIMScheduler");
    assertEquals(config.timestep_spacing, "trailing");
    assertEquals(config.prediction_type, "v_prediction");
    assertEquals([config.set_alpha_to_one, config.clip_sample], [true, true]);

    await using model = await load(name, { backend: "native" });
    assertEquals(model.recommended!.steps, Number(name.split("-").at(-1)));
    assertEquals(model.distilled!.steps, model.recommended!.steps);
    assert(Object.hasOwn(builtInWeights, model.distilled!.teacher), "its teacher is at hand");
    const labels = [3, 0, 8];
    const pictures = await generate(model, { seeds: [0, 1, 2], labels });
    for (const [seed, picture] of pictures.entries()) {
      const { pixels } = await ddim(model, config, seed, labels[seed]);
      const most = pixels.reduce((m, x, p) => Math.max(m, Math.abs(x - picture.pixels[p])), 0);
      assert(most <= 1, `seed ${seed}: ${most} levels apart`);
    }
  });
}
