/**
 * Training from code, on pictures that are drawn as they are asked for:
 * `deno run -A examples/train.ts` leaves weights in run/weights, and three pictures of them.
 */
import { generate, load } from "../mod.ts";
import { backendByName, parseTrainingRecipe, train } from "../src/training/mod.ts";

/** Trains long enough to see that it learns; for pictures worth keeping give it thousands of steps. */
export async function trainBlobs(folder: string, steps = 300): Promise<string> {
  const { weights, step } = await train({
    recipe: parseTrainingRecipe({
      data: new URL("./blobs.ts", import.meta.url).pathname,
      size: 16,
      channels: 1,
      block_out_channels: [16, 32],
      attention: [false, false],
      norm_num_groups: 8,
      batch: 16,
      steps,
      warmup: 20,
      checkpoint_every: steps,
      sample_every: 0,
    }),
    folder,
    backend: await backendByName("native"),
    onProgress: ({ step, loss }) => step % 50 === 0 && console.log(`${step}: ${loss.toFixed(4)}`),
  });
  console.log(`${step} updates: ${weights}`);
  return weights!;
}

if (import.meta.main) {
  await using model = await load(await trainBlobs("run"));
  for (const picture of await generate(model, { seeds: [1, 2, 3], steps: 20, scale: 8 })) {
    await Deno.writeFile(`blob-${picture.seed}.png`, await picture.png());
  }
}
