/** Our own WebAssembly in the page's thread, which gives the same bits everywhere. */
import type { Backend } from "../../src/backends/backend.ts";
import { simdInline } from "../../src/backends/simd/inline.ts";

export function backend(): Promise<Backend> {
  return Promise.resolve(simdInline());
}
