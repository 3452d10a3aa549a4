/** onnxruntime as tests look over its shoulder. */
import * as ort from "npm:onnxruntime-node@1.30.0";
import { backendByName } from "../src/backends/select.ts";

/** What is asked of onnxruntime while something runs: threads, spinning, and sessions that are left open. */
export async function sessionsOf(
  work: () => Promise<unknown>,
) {
  const sessions = ort.InferenceSession as unknown as {
    create(model: Uint8Array, options: ort.InferenceSession.SessionOptions): Promise<unknown>;
    prototype: { release(): Promise<void> };
  };
  // Which asks something of its own when it is read.
  await backendByName("native");
  const { create, prototype } = sessions;
  const { release } = prototype;
  const threads = new Set<number | undefined>(), spins = new Set<unknown>();
  let made = 0, open = 0;
  sessions.create = async (model, options) => {
    threads.add(options.intraOpNumThreads);
    const session = options.extra?.session as Record<string, Record<string, unknown>>;
    spins.add(session.intra_op.allow_spinning);
    const opened = await create.call(sessions, model, options);
    made++, open++;
    return opened;
  };
  prototype.release = function (this: unknown) {
    open--;
    return release.call(this);
  };
  try {
    await work();
  } finally {
    sessions.create = create;
    prototype.release = release;
  }
  return { threads: [...threads], spins: [...spins], made, open };
}
