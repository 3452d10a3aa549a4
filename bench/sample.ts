/**
 * What sampling costs here: `deno task bench`, or
 * `deno run -A bench/sample.ts --backends wasm,native --networks digits --batches 1,16 --repeats 5
 * --parts start,overhead,throughput`. Times are medians of contestants that take turns in one run.
 */
import { parseArgs } from "node:util";
import { backendByName } from "../src/backend/select.ts";
import { printTable } from "./sample/measure.ts";
import { networkByName } from "./sample/networks.ts";
import { measureOverhead } from "./sample/overhead.ts";
import { measureStart } from "./sample/start.ts";
import { measureThroughput } from "./sample/throughput.ts";

const { values: flags } = parseArgs({
  args: Deno.args,
  options: {
    backends: { type: "string", default: "wasm,native" },
    networks: { type: "string", default: "digits,cifar10" },
    batches: { type: "string", default: "1,4,16" },
    repeats: { type: "string", default: "7" },
    parts: { type: "string", default: "start,overhead,throughput" },
  },
});
const list = (text: string) => text.split(",").filter((item) => item !== "");
const backends = list(flags.backends);
const batches = list(flags.batches).map(Number);
const repeats = Number(flags.repeats);
const parts = new Set(list(flags.parts));

console.log(
  `Deno ${Deno.version.deno}, ${navigator.hardwareConcurrency} cores, load ${
    Deno.loadavg().map((load) => load.toFixed(1)).join(" ")
  }; median of ${repeats}`,
);

if (parts.has("start")) {
  const rows = [];
  for (const name of backends) rows.push(await measureStart(name, repeats));
  printTable("From process start to the first evaluation (digits)", rows);
}

for (const name of backends) {
  const backend = await backendByName(name);
  if (parts.has("overhead") && name !== "webgpu") {
    printTable(
      "What is added to onnxruntime (digits)",
      await measureOverhead(backend, batches, repeats),
    );
  }
  if (!parts.has("throughput")) continue;
  for (const networkName of list(flags.networks)) {
    const network = await networkByName(networkName);
    printTable(
      `${network.name}, ${network.parameters.toLocaleString("en")} parameters, ${name}`,
      await measureThroughput(backend, network, batches, repeats),
    );
  }
}
