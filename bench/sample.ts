/** What sampling costs here. Times are medians of contestants that take turns in one run. */
import { readFlags } from "./flags.ts";
import { ortBackends } from "./ort_backends.ts";
import { printTable } from "./sample/measure.ts";
import { networkByName } from "./sample/networks.ts";
import { measureOverhead } from "./sample/overhead.ts";
import { measureStart } from "./sample/start.ts";
import { measureThroughput } from "./sample/throughput.ts";

const { backends, networks, batches, repeats, parts: asked } = readFlags(
  "What sampling costs: start, what is added to onnxruntime, throughput.",
  {
    backends: [["wasm", "native"], "engines", ["wasm", "native", "webgpu"]],
    networks: [["digits", "cifar10"], "networks", ["digits", "cifar10"]],
    batches: [[1, 4, 16], "images in one evaluation"],
    repeats: [7, "measurements that each median is of"],
    parts: [["start", "overhead", "throughput"], "what to measure", [
      "start",
      "overhead",
      "throughput",
    ]],
  },
);
const parts = new Set(asked);

console.log(
  `Deno ${Deno.version.deno}, ${navigator.hardwareConcurrency} cores, load ${
    Deno.loadavg().map((load) => load.toFixed(1)).join(" ")
  }; median of ${repeats}`,
);

if (parts.has("start")) {
  const rows = [];
  for (const name of ["simd", ...backends]) rows.push(await measureStart(name, repeats));
  printTable("From process start to the first evaluation (digits)", rows);
}

for (const name of backends) {
  const backend = await ortBackends[name]();
  if (parts.has("overhead") && name !== "webgpu") {
    printTable(
      "What is added to onnxruntime (digits)",
      await measureOverhead(backend, batches, repeats),
    );
  }
  if (!parts.has("throughput")) continue;
  for (const networkName of networks) {
    const network = await networkByName(networkName);
    const { rows, notes } = await measureThroughput(backend, network, batches, repeats);
    printTable(
      `${network.name}, ${network.parameters.toLocaleString("en")} parameters, ${name}`,
      rows,
    );
    for (const note of notes) console.log(`\nNot the fastest: ${note}`);
  }
}
