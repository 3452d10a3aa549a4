/** The shipped weights: diffusers loads every folder and draws what `generate` draws. */
import { assert, assertEquals } from "@std/assert";
import { load } from "../src/model/load.ts";
import { generate } from "../src/sampling/pictures.ts";
import { builtInWeights } from "../src/weights/find/locate.ts";
import { type GoldenTensors, readGolden, readGoldenJson } from "./golden.ts";

/** What diffusers drew from a folder: DDIMScheduler with the folder's own scheduler config. */
interface Drawn {
  /** Of the folder's weights file. */
  sha256: string;
  /** The classes from_pretrained made of the folder. */
  pipeline: string;
  scheduler: string;
  seeds: number[];
  labels: number[];
  timesteps: number[];
  guidance: number;
  /** The first and the last timestep that are guided. */
  guided: [number, number];
  use_clipped_model_output: boolean;
}

const drawn = await readGoldenJson<Record<string, Drawn>>("shipped/ddim.json");
const pictures: GoldenTensors = await readGolden("shipped/ddim.safetensors");

const sha256 = async (bytes: Uint8Array<ArrayBuffer>) =>
  new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();

Deno.test("diffusers has drawn from every folder that is shipped", () => {
  assertEquals(Object.keys(drawn).sort(), Object.keys(builtInWeights).sort());
});

for (const [name, golden] of Object.entries(drawn)) {
  const file = new URL("unet/diffusion_pytorch_model.safetensors", builtInWeights[name]);

  Deno.test(`${name}: the pictures were drawn from the weights that are shipped`, async () => {
    assertEquals(
      golden.sha256,
      await sha256(await Deno.readFile(file)),
      "these are new weights: tests/golden/README.md says how diffusers draws from them",
    );
  });

  // The teachers' many evaluations on one engine alone: unet_golden_test holds each engine's networks.
  for (const backend of golden.guidance === 1 ? ["simd", "native"] as const : ["simd"] as const) {
    Deno.test(`${name}: ${backend} draws what diffusers' DDIMScheduler draws, within 1/255`, async () => {
      await using model = await load(name, { backend });
      const { seeds, labels, timesteps, guidance, guided } = golden;
      const clipped_eps = golden.use_clipped_model_output ? "always" : "never";
      const made = await generate(model, {
        seeds,
        labels,
        scheduler: "ddim",
        timesteps,
        options: { clipped_eps },
        ...(guidance === 1 ? {} : { guidance, guided }),
      });
      const expected = pictures.floats(name);
      const actual = made.flatMap(({ pixels }) => [...pixels]);
      assertEquals(actual.length, expected.length);
      const worst = actual.reduce((m, x, p) => Math.max(m, Math.abs(x - expected[p] * 255)), 0);
      assert(worst <= 1, `${worst} levels apart`);
    });
  }
}

for (const [name, { scheduler, timesteps }] of Object.entries(drawn)) {
  if (!/-\d+$/.test(name)) continue;
  Deno.test(`${name}: its folder asks diffusers for the steps that it was taught`, async () => {
    await using model = await load(name, { backend: "native" });
    assertEquals(scheduler, "DDIMScheduler");
    const steps = Number(name.split("-").at(-1));
    assertEquals(model.recommended!.steps, steps);
    assertEquals(model.distilled!.steps, steps);
    assert(Object.hasOwn(builtInWeights, model.distilled!.teacher), "its teacher is at hand");
    assertEquals(timesteps, Array.from({ length: steps }, (_, i) => 1000 - 1000 * i / steps - 1));
  });
}
