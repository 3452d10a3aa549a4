/** The kernels in the calling thread: a run holds it until it is done. */
import type { Crew } from "./engine_session.ts";
import { instantiate, kernelBytes, unshared } from "./kernels_module.ts";

/** @param module the kernels compiled ahead, where bytes may not be compiled */
export function inlineCrew(module?: WebAssembly.Module): Crew {
  let compiled = module;
  return {
    threads: 1,
    shared: false,
    open(memory) {
      compiled ??= new WebAssembly.Module(unshared(kernelBytes()));
      const kernels = instantiate(compiled, memory);
      return Promise.resolve({
        run(at) {
          kernels.run(at, 0, 1, 0);
          return Promise.resolve();
        },
        settle: () => Promise.resolve(),
        close() {},
      });
    },
  };
}
