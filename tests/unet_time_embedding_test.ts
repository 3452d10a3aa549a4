/** Sinusoids of the timestep, to the last bits that are visible at t = 999. */
import { assert, assertEquals } from "@std/assert";
import { native } from "../src/backends/onnxruntime/native.ts";
import { Graph } from "../src/graph/mod.ts";
import { parseUNetConfig } from "../src/networks/unet2d/config.ts";
import { timeProjection } from "../src/networks/unet2d/layers.ts";
import { readGoldenJson } from "./golden.ts";

for (
  const [name, expected] of Object.entries(
    await readGoldenJson<Record<string, number[]>>("timestep_embedding.json"),
  )
) {
  Deno.test(`the embedding of t is PyTorch's: ${name}`, async () => {
    const [channels, freq_shift, flip] = name.split(" ");
    const config = parseUNetConfig({
      sample_size: 64,
      freq_shift: Number(freq_shift),
      flip_sin_to_cos: flip === "True",
    });
    const graph = new Graph();
    graph.output("y", timeProjection(graph.input("t", [2]), Number(channels), config));
    const session = await native().createSession(graph);
    const { y } = await session.run({ t: { data: Float32Array.of(999, 1), dims: [2] } });
    await session.close();
    assertEquals(y.data.length, expected.length);
    const off = expected.map((x, i) => Math.abs(x - Number(y.data[i])));
    // An ulp of the fastest frequencies turns the angle at t = 999 by 6e-5: at most one of them is
    // rounded otherwise by PyTorch's exponential.
    const beyond = off.filter((x) => x > 2e-6).length;
    assert(beyond <= 2 && Math.max(...off) < 7e-5, `${beyond} off, up to ${Math.max(...off)}`);
  });
}

Deno.test("an odd number of channels ends with a zero, behind the embedding of one channel less", async () => {
  const embedding = async (channels: number, keys: Record<string, unknown>) => {
    const graph = new Graph();
    const config = parseUNetConfig({ sample_size: 64, ...keys });
    graph.output("y", timeProjection(graph.input("t", [2]), channels, config));
    const session = await native().createSession(graph);
    const { y } = await session.run({ t: { data: Float32Array.of(999, 1), dims: [2] } });
    await session.close();
    return [0, 1].map((n) => [...y.data.slice(n * channels, (n + 1) * channels)]);
  };
  for (const keys of [{}, { flip_sin_to_cos: false }, { freq_shift: 1 }]) {
    const even = await embedding(14, keys);
    assertEquals(await embedding(15, keys), even.map((row) => [...row, 0]), JSON.stringify(keys));
  }
});
