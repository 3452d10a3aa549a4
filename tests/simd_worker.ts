/** A worker for `simdWorker`; with `?dies` it ends at its second run. */
import { serveSimd } from "../src/backends/inline.ts";

serveSimd();

if (import.meta.url.endsWith("?dies")) {
  const scope = globalThis as unknown as { onmessage(event: MessageEvent): void };
  const { onmessage } = scope;
  let runs = 0;
  scope.onmessage = (event) => {
    if (event.data[1].kind === "run" && ++runs === 2) throw new Error("out of luck");
    onmessage(event);
  };
}
