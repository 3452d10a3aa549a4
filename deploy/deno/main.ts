/**
 * The image endpoint on Deno Deploy, or wherever `deno serve` runs: everything imported statically,
 * the network on one thread of WebAssembly in this isolate.
 */
import { simdInline } from "../../src/backends/simd/inline.ts";
import { load } from "../../src/model/load.ts";
import type { Model } from "../../src/model/model.ts";
import { defaultSources, sourcesByName } from "../../src/weights/find/sources.ts";
import { createApp, type Limits } from "../../src/server/mod.ts";

const backend = simdInline();
const models: Record<string, Model> = {};
for (const [name, source] of sourcesByName(defaultSources())) {
  models[name] = await load(source, { backend });
}

/** An isolate has half a gigabyte and its visitors' patience. */
export const limits: Partial<Limits> = {
  maxBatch: 4,
  maxRunning: 16,
  maxQueue: 2000,
  cacheBytes: 16 * 1024 * 1024,
};

const app = createApp({ models, limits });
app.warmUp().catch((error) => console.error("the first evaluation failed:", error));

// The platform gives five seconds after SIGINT.
Deno.addSignalListener("SIGINT", async () => {
  const finished = await app.drain(4000);
  // Answers are on their way out.
  setTimeout(() => Deno.exit(finished ? 0 : 1), 300);
});

export default { fetch: app.fetch } satisfies Deno.ServeDefaultExport;
