/** The library in ten lines: `deno run -A examples/library.ts` writes seven.png. */
import { generate, load, sample } from "../mod.ts";

await using model = await load("digits");

const [seven] = await generate(model, { seeds: [1], labels: "7", scale: 8 });
await Deno.writeFile("seven.png", await seven.png());
console.log("seven.png", seven.width, "×", seven.height, "by", seven.recipe.scheduler);

// Every step of every image, as it happens.
for await (const { step, steps, t, x_0 } of sample(model, { seeds: [1], labels: "7", steps: 4 })) {
  const mean = x_0.reduce((sum, pixel) => sum + pixel, 0) / x_0.length;
  console.log(
    `step ${step} of ${steps} took the noise of t = ${t}; mean of x_0: ${mean.toFixed(3)}`,
  );
}
