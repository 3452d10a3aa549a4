/** One backend out of several: the first that can load what it is given. */
import { type Backend, type OnnxBackend, type Session, takesOnnx } from "./backend.ts";

type Opener<B extends Backend> = () => Promise<B>;

/**
 * The first of `order` until it fails to load something, the next from then on, and so on. Models
 * that are ONNX go past those that do not take them, which is no failure.
 */
export async function firstThatCan(
  order: readonly Opener<Backend>[],
  onNotice?: (notice: string) => void,
): Promise<OnnxBackend> {
  const opened = new Map<Opener<Backend>, Promise<Backend>>();
  const open = (opener: Opener<Backend>) => {
    if (!opened.has(opener)) opened.set(opener, opener());
    return opened.get(opener)!;
  };
  let left = [...order];
  const first = await open(left[0]);
  let used = first;

  const load = async <B extends Backend>(
    takes: (backend: Backend) => backend is B,
    create: (backend: B) => Promise<Session>,
  ): Promise<Session> => {
    let failure: unknown;
    for (const opener of [...left]) {
      const backend = await open(opener);
      if (!takes(backend)) continue;
      try {
        const session = await create(backend);
        if (failure !== undefined) {
          onNotice?.(`${(failure as Error).message}; using ${backend.name} instead`);
        }
        used = backend;
        return session;
      } catch (error) {
        failure ??= error;
        if (left.length > 1) left = left.filter((other) => other !== opener);
      }
    }
    throw failure;
  };
  return {
    get name() {
      return used.name;
    },
    createSession: (graph, weights, options) =>
      load((_b): _b is Backend => true, (b) => b.createSession(graph, weights, options)),
    createOnnxSession: (model, options) =>
      load(takesOnnx, (b) => b.createOnnxSession(model, options)),
    prepare: (options) => first.prepare?.(options),
    release: () => first.release?.(),
  };
}
