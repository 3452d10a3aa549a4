/** Images a second by engine, network, lowering and batch. */
import type { Session } from "../../src/backends/backend.ts";
import type { OrtBackend } from "../../src/backends/onnxruntime/onnx.ts";
import { emit, fused, type Lowering, portable, wasm, winograd } from "../../src/onnx/mod.ts";
import { inTurns } from "./measure.ts";
import { feedsFor, type MeasuredNetwork } from "./networks.ts";

/** Steps that an image is counted with: the digits' recommendation. */
const STEPS = 50;

/** A lowering below this share of the time of a backend's own is faster by more than chance. */
const FASTER = 0.97;

/** A table, and a sentence for each row in which a backend's own lowering was not the fastest. */
export interface Throughput {
  readonly rows: readonly Record<string, string | number>[];
  readonly notes: readonly string[];
}

export async function measureThroughput(
  backend: OrtBackend,
  network: MeasuredNetwork,
  batches: number[],
  repeats: number,
): Promise<Throughput> {
  const lowerings = loweringsFor(backend);
  const sessions: Record<string, Session> = {};
  for (const [name, lowering] of Object.entries(lowerings)) {
    sessions[name] = await backend.createOnnxSession(
      emit(network.graph, { lowering, weights: network.weights }),
    );
  }
  const rows = [];
  const notes = [];
  for (const batch of batches) {
    const feeds = feedsFor(network, batch);
    const runs = Object.entries(sessions).map(([name, session]) => {
      return [name, () => session.run(feeds)] as const;
    });
    const ms = await inTurns(Object.fromEntries(runs), repeats);
    const own = ms[backend.lowering.name];
    const fastest = Object.keys(ms).reduce((a, b) => ms[a] <= ms[b] ? a : b);
    if (ms[fastest] / own < FASTER) {
      notes.push(
        `batch ${batch}: ${fastest} takes ${
          (ms[fastest] / own).toFixed(2)
        } of the time of ${backend.name}'s own lowering, ${backend.lowering.name}`,
      );
    }
    for (const name of Object.keys(sessions)) {
      rows.push({
        network: network.name,
        backend: backend.name,
        batch,
        lowering: name === backend.lowering.name ? `**${name}**` : name,
        "ms an evaluation": ms[name].toFixed(1),
        [`images/s at ${STEPS} steps`]: (1000 * batch / ms[name] / STEPS).toFixed(3),
        "time against its own lowering": (ms[name] / own).toFixed(2),
      });
    }
  }
  for (const session of Object.values(sessions)) await session.close();
  return { rows, notes };
}

/** The backend's own lowering, in bold in the table, and the others it could run. */
function loweringsFor(backend: OrtBackend): Record<string, Lowering> {
  const all = backend.name === "webgpu" ? [portable, fused] : [portable, fused, winograd, wasm];
  return {
    ...Object.fromEntries(all.map((lowering) => [lowering.name, lowering])),
    [backend.lowering.name]: backend.lowering,
  };
}
